/**
 * The paper's routing in another order: siblings follow one another. Under a full queue engines get free one by one, so that the longest match among those
 * below T has no choice, and requests that share a prefix but not the moment of their arrival are computed on whichever engine is free, each time anew.
 *
 * - The head of the queue is routed as by `prefix`. Its siblings, wherever they wait, are claimed for the same engine: whoever has most in common with
 *   the last one claimed comes next, the first to have come among equals, until nobody shares enough (see SiblingIndex) or the work claimed, reckoned
 *   with the common prefix cached, has reached {@link CLAIM_BATCHES} x T (or as many times the tokens of a batch).
 * - An engine with a claim takes only that, in the order of arrival, whenever it has room for a batch; a batch is closed as by `prefix`. When the claim
 *   is used up, the engine is open for the head of the queue again, in the same batch if that is below T.
 * - When the queue is empty and an engine is idle, all claims go back into the queue: nobody idles while there is work.
 *
 * Who waits for whom: a claim is made once, of those who wait at that moment, together with a head that is older than all of them. So who waits in the
 * queue is overtaken by siblings of older requests alone, never by what comes later, and its head is routed at the latest when some engine is through
 * with its claim: CLAIM_BATCHES x T FLOPs and one request more. Who is claimed waits for what is older in the claim. Requests without siblings are routed
 * exactly as by `prefix`.
 */
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';
import { EngineSet } from './engine-set.ts';
import type { EngineState } from './engine-state.ts';
import { matchLimit, putIntoBatch, type SchedulerState } from './policy.ts';
import { PrefixPolicy } from './prefix-policy.ts';
import type { Routable } from './scheduling.ts';
import { SiblingIndex } from './sibling-index.ts';

/** Batches' worth of siblings claimed at once: a document with its questions takes a few; more makes others wait and the end of a run uneven. */
export const CLAIM_BATCHES = 8;

export class GroupedPolicy<R extends Routable> extends PrefixPolicy<R> {
  readonly #index = new SiblingIndex<R>();
  /** Engines with a claim. */
  readonly #claiming: EngineSet;
  /** Those of them that can take from it. */
  readonly #taking: EngineSet;
  /** Engines without a batch under way that take the head of the queue. */
  readonly #idle: EngineSet;

  constructor(state: SchedulerState<R>) {
    super(state);
    const engines = state.engines.length;
    [this.#claiming, this.#taking, this.#idle] = [new EngineSet(engines), new EngineSet(engines), new EngineSet(engines)];
    state.queue.watch(this.#index);
  }

  override fill(): void {
    const { engines, queue } = this.state;
    for (;;) {
      for (let engine = this.#taking.next(0); engine >= 0; engine = this.#taking.next(engine + 1)) this.#fillFromClaim(engines[engine] as EngineState<R>);
      if (queue.length === 0 && !this.#idle.empty) this.#giveClaimsBack();
      const head = queue.head?.request;
      const engine = this.giveHead();
      if (head === undefined || engine === undefined) return;
      this.#claimSiblings(engine, head);
    }
  }

  override changed(engine: EngineState<R>): void {
    super.changed(engine);
    const claiming = engine.queue.length > 0;
    this.#claiming.set(engine.index, claiming);
    this.#taking.set(engine.index, claiming && engine.hasRoom && !this.isClosed(engine));
    this.#idle.set(engine.index, engine.underWay.size === 0 && this.isOpen(engine));
  }

  protected override isOpen(engine: EngineState<R>): boolean {
    return engine.queue.length === 0 && super.isOpen(engine);
  }

  #claimSiblings(engine: EngineState<R>, head: R): void {
    const { queue, options: { threshold, batchTokens } } = this.state;
    let flops = threshold === 0 ? Infinity : CLAIM_BATCHES * threshold;
    let tokens = CLAIM_BATCHES * batchTokens;
    for (let next = this.#index.siblingOf(head); next !== undefined && flops > 0 && tokens > 0; next = this.#index.siblingOf(next.entry.request)) {
      const { entry, depth } = next;
      queue.remove(entry);
      engine.queue.add(entry);
      flops -= entry.request.flops(depth * BLOCK_TOKENS);
      tokens -= entry.request.tokens - depth * BLOCK_TOKENS;
    }
    this.changed(engine);
  }

  #fillFromClaim(engine: EngineState<R>): void {
    const { filling, queue } = engine;
    for (let entry = queue.head; entry !== undefined && !this.isClosed(engine); entry = queue.head) {
      const { request } = entry;
      const matched = this.state.table.match(request.hashes, matchLimit(request), engine.index);
      if (filling.fits(request, matched)) {
        queue.shift();
        putIntoBatch(this.state, engine, entry, matched);
      } else filling.full = true;
    }
    this.changed(engine);
  }

  #giveClaimsBack(): void {
    const { engines, queue } = this.state;
    const claiming = this.#claiming.members().map((engine) => engines[engine] as EngineState<R>);
    queue.insert(claiming.flatMap((engine) => engine.queue.takeAll()));
    for (const engine of claiming) this.changed(engine);
  }
}
