/**
 * The paper's routing (sections 7.2 to 7.4, appendix A). A round takes requests from the head of the one queue; each goes to the engine with the
 * longest match over committed and pending blocks among those whose load is below T, and adds its true FLOPs to that engine's load L_i. Equal
 * matches, "none at all" among them: the smaller L_i, then fewer batches under way, then the lower index. The paper's L_i falls while a batch is
 * computed; ours is that of the batch being filled alone, so an idle engine and a busy one may be equal, and batches under way tell them apart.
 *
 * Memory: an engine that would be chosen but whose batch has no room for the request is full, as if saturated, and the next best one with room takes
 * the request. If none has room, one batch must make some: the best engine's of those where it can leave at once. The request waits for that, and
 * what is behind it waits as well, so that no request is overtaken for ever.
 */
import type { EngineState } from './engine-state.ts';
import { matchLimit, putIntoBatch, type Policy, type SchedulerState } from './policy.ts';
import { lowestBit } from './prefix-table.ts';
import type { Routable } from './scheduling.ts';

export class PrefixPolicy<R extends Routable> implements Policy<R> {
  protected readonly state: SchedulerState<R>;
  /** Blocks of the request in hand that match, by engine. */
  protected readonly matched: Int32Array;

  constructor(state: SchedulerState<R>) {
    this.state = state;
    this.matched = new Int32Array(state.engines.length);
  }

  fill(): void {
    while (this.giveHead() !== undefined);
  }

  leaves(engine: EngineState<R>, nowMs: number, drain: boolean): boolean {
    const idle = engine.underWay.size === 0;
    return drain || this.#isClosed(engine) || nowMs >= this.leaveMs(engine) || (this.state.options.threshold === 0 && idle);
  }

  leaveMs({ filling }: EngineState<R>): number {
    return filling.oldestMs + this.state.options.maxWaitMs;
  }

  /** Gives the head of the queue to an engine. @returns which; undefined when there is none, or nobody takes it now */
  protected giveHead(): EngineState<R> | undefined {
    const { queue } = this.state;
    const entry = queue.head;
    const engine = entry === undefined ? undefined : this.#choose(entry.request);
    if (entry === undefined || engine === undefined) return undefined;
    queue.shift();
    putIntoBatch(this.state, engine, entry, this.matched[engine.index] as number);
    return engine;
  }

  protected isOpen(engine: EngineState<R>): boolean {
    return engine.alive && !this.#isClosed(engine);
  }

  #isClosed({ filling }: EngineState<R>): boolean {
    const { threshold } = this.state.options;
    return filling.full || (threshold > 0 && filling.flops >= threshold);
  }

  #choose(request: R): EngineState<R> | undefined {
    const { engines, table } = this.state;
    let open = 0;
    for (const engine of engines) if (this.isOpen(engine)) open |= 1 << engine.index;
    if (open === 0) return undefined;
    table.match(request.hashes, matchLimit(request), open, this.matched);
    const refusing: EngineState<R>[] = [];
    for (; open !== 0; open &= ~(1 << (refusing.at(-1) as EngineState<R>).index)) {
      const best = this.#best(open);
      if (best.filling.fits(request, this.matched[best.index] as number)) {
        for (const { filling } of refusing) filling.full = true;
        return best;
      }
      refusing.push(best);
    }
    this.#makeRoom(refusing);
    return undefined;
  }

  #best(open: number): EngineState<R> {
    const engines = this.state.engines;
    let best = engines[lowestBit(open)] as EngineState<R>;
    for (let rest = open & (open - 1); rest !== 0; rest &= rest - 1) {
      const other = engines[lowestBit(rest)] as EngineState<R>;
      if (this.#isBetter(other, best)) best = other;
    }
    return best;
  }

  #isBetter(other: EngineState<R>, best: EngineState<R>): boolean {
    const more = (this.matched[other.index] as number) - (this.matched[best.index] as number);
    const less = other.filling.flops - best.filling.flops;
    return more > 0 || (more === 0 && (less < 0 || (less === 0 && other.underWay.size < best.underWay.size)));
  }

  /** Has one batch leave, unless one leaves anyway. */
  #makeRoom(refusing: readonly EngineState<R>[]): void {
    const leaving = this.state.engines.some((engine) => engine.hasRoom && this.#isClosed(engine));
    const first = leaving ? undefined : refusing.find(({ hasRoom }) => hasRoom);
    if (first !== undefined) first.filling.full = true;
  }
}
