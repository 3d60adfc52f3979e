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
import { EngineOrder } from './engine-order.ts';
import { EngineSet } from './engine-set.ts';
import type { EngineState } from './engine-state.ts';
import { matchLimit, putIntoBatch, type Policy, type SchedulerState } from './policy.ts';
import type { Routable } from './scheduling.ts';

/**
 * What a decision asks of all engines is kept in sets and orders, one engine at a time as it changes: a decision costs the same for 8 and for 4,096, but
 * for the logarithm.
 */
export class PrefixPolicy<R extends Routable> implements Policy<R> {
  protected readonly state: SchedulerState<R>;
  /** Those that take the head of the queue. */
  readonly #open: EngineSet;
  /** The same by load, and by batches under way. */
  readonly #byLoad: EngineOrder;
  /** Those with room and a batch, by the arrival of its oldest request. */
  readonly #byOldest: EngineOrder;
  /** Those of them that are saturated or full. */
  readonly #closed: EngineSet;
  /** Those of them whose batch leaves in the next round: with T = 0 the idle ones, too. */
  readonly #eager: EngineSet;
  /** Those whose batch leaves in the round in hand. */
  readonly #leaving: EngineSet;
  /** Those with the longest match for the request in hand. */
  readonly #found: EngineSet;
  /** Blocks of it that match on the engine that was chosen. */
  #matched = 0;

  constructor(state: SchedulerState<R>) {
    const engines = state.engines.length;
    this.state = state;
    this.#open = new EngineSet(engines);
    this.#closed = new EngineSet(engines);
    this.#eager = new EngineSet(engines);
    this.#leaving = new EngineSet(engines);
    this.#found = new EngineSet(engines);
    this.#byLoad = new EngineOrder(engines);
    this.#byOldest = new EngineOrder(engines);
  }

  fill(): void {
    while (this.giveHead() !== undefined);
  }

  leaving(nowMs: number, drain: boolean): EngineState<R>[] {
    const { engines, options: { maxWaitMs } } = this.state;
    const leaving = this.#leaving;
    leaving.clear();
    this.#byOldest.collect((oldestMs) => drain || nowMs >= oldestMs + maxWaitMs, leaving);
    for (let engine = this.#eager.next(0); engine >= 0; engine = this.#eager.next(engine + 1)) leaving.set(engine, true);
    return leaving.members().map((engine) => engines[engine] as EngineState<R>);
  }

  nextLeaveMs(): number {
    const { best } = this.#byOldest;
    return best < 0 ? Infinity : this.#byOldest.firstOf(best) + this.state.options.maxWaitMs;
  }

  changed(engine: EngineState<R>): void {
    const { index, filling, underWay, hasRoom } = engine;
    const open = this.isOpen(engine);
    const ready = hasRoom && !filling.empty;
    const closed = ready && this.isClosed(engine);
    this.#open.set(index, open);
    if (open) this.#byLoad.set(index, filling.flops, underWay.size);
    else this.#byLoad.delete(index);
    if (ready) this.#byOldest.set(index, filling.oldestMs);
    else this.#byOldest.delete(index);
    this.#closed.set(index, closed);
    this.#eager.set(index, closed || (ready && this.state.options.threshold === 0 && underWay.size === 0));
  }

  /** Gives the head of the queue to an engine. @returns which; undefined when there is none, or nobody takes it now */
  protected giveHead(): EngineState<R> | undefined {
    const { queue } = this.state;
    const entry = queue.head;
    const engine = entry === undefined ? undefined : this.#choose(entry.request);
    if (entry === undefined || engine === undefined) return undefined;
    queue.shift();
    putIntoBatch(this.state, engine, entry, this.#matched);
    this.changed(engine);
    return engine;
  }

  /** Whether an engine takes the head of the queue. */
  protected isOpen(engine: EngineState<R>): boolean {
    return engine.alive && !this.isClosed(engine);
  }

  /** Whether a batch takes no more. */
  protected isClosed({ filling }: EngineState<R>): boolean {
    const { threshold } = this.state.options;
    return filling.full || (threshold > 0 && filling.flops >= threshold);
  }

  /** Has an engine's batch take no more. */
  protected close(engine: EngineState<R>): void {
    engine.filling.full = true;
    this.changed(engine);
  }

  #choose(request: R): EngineState<R> | undefined {
    const { engines, table } = this.state;
    const least = this.#byLoad.best;
    if (least < 0) return undefined;
    this.#matched = table.longest(request.hashes, matchLimit(request), this.#open, this.#found);
    const best = engines[this.#matched === 0 ? least : this.#byLoad.bestIn(this.#found)] as EngineState<R>;
    return best.filling.fits(request, this.#matched) ? best : this.#chooseWithRoom(request);
  }

  /** The best one has no room: the best of those with room, if any, and who is better than that is full. Asks every open engine. */
  #chooseWithRoom(request: R): EngineState<R> | undefined {
    const { engines, table } = this.state;
    const matched = new Map<EngineState<R>, number>();
    for (const index of this.#open.members()) matched.set(engines[index] as EngineState<R>, table.match(request.hashes, matchLimit(request), index));
    const isBetter = (one: EngineState<R>, other: EngineState<R> | undefined): boolean => {
      if (other === undefined) return true;
      const more = (matched.get(one) as number) - (matched.get(other) as number);
      return more > 0 || (more === 0 && this.#byLoad.isBefore(one.index, other.index));
    };
    let taker: EngineState<R> | undefined;
    for (const [engine, blocks] of matched) if (isBetter(engine, taker) && engine.filling.fits(request, blocks)) taker = engine;
    if (taker === undefined) {
      this.#makeRoom([...matched.keys()].filter(({ hasRoom }) => hasRoom).reduce<EngineState<R> | undefined>((best, engine) => (isBetter(engine, best) ? engine : best), undefined));
      return undefined;
    }
    for (const engine of matched.keys()) if (engine !== taker && isBetter(engine, taker)) this.close(engine);
    this.#matched = matched.get(taker) as number;
    return taker;
  }

  /** Has one batch leave, unless one leaves anyway. */
  #makeRoom(best: EngineState<R> | undefined): void {
    if (best !== undefined && this.#closed.empty) this.close(best);
  }
}
