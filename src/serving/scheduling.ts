/**
 * The frontend's decisions (paper section 5): which engine a request goes to, and when an engine's batch leaves. Pure and deterministic: the server
 * and the simulator drive the same code, with their own clocks.
 */

/** Ways to choose an engine. `prefix` is the paper's; the others are its baselines. */
export const SCHEDULERS = ['prefix', 'least-loaded', 'shortest-prefill-first', 'random'] as const;
export type SchedulerKind = (typeof SCHEDULERS)[number];

/** A request as the scheduler sees it. */
export interface Routable {
  /** Unique among the requests that the scheduler knows. */
  readonly id: number;
  /** Tokens of the prompt. */
  readonly tokens: number;
  /** Hashes of the prompt's full blocks, see `blockHashes`; at most (tokens - asked rows) / 16 of them can be cached. */
  readonly hashes: Float64Array;
  /** Leading blocks that may be taken from a cache: what must be computed is left out. */
  readonly cacheable: number;
  /** When it was accepted, milliseconds on the caller's clock. */
  readonly arrivedMs: number;
  /** True FLOPs when the first `cachedTokens` tokens are cached. */
  flops(cachedTokens: number): number;
}

export interface SchedulerOptions {
  readonly kind: SchedulerKind;
  readonly engines: number;
  /** T_batch in FLOPs: an engine whose batch has as many takes no more. */
  readonly threshold: number;
  /** Memory: tokens to compute of one batch at most (a longer request goes alone), and KV blocks. */
  readonly batchTokens: number;
  readonly batchBlocks: number;
  /** A batch below the threshold leaves when its oldest request has waited so long. */
  readonly maxWaitMs: number;
  /** Blocks of each engine's prefix cache: bounds what the router believes to be there. */
  readonly cacheBlocks: number;
  /** Of `random`. */
  readonly seed: number;
}

/** A batch that leaves. */
export interface ScheduledBatch<R extends Routable> {
  readonly engine: number;
  readonly requests: readonly R[];
  /** What the scheduler reckoned: FLOPs and tokens left to compute. */
  readonly flops: number;
  readonly tokens: number;
  /** Load of the engine before its last request was added, for the bound `load in [T, T + last delta]`. */
  readonly lastFlops: number;
  readonly saturated: boolean;
}

export interface EngineLoad {
  /** FLOPs of the batch being filled: the paper's L_i. */
  readonly filling: number;
  readonly fillingRequests: number;
  /** Batches that left and have not been answered. */
  readonly underWay: number;
  readonly committedBlocks: number;
  readonly pendingBlocks: number;
}

export interface Scheduler<R extends Routable> {
  /** Puts a request at the end of the queue. */
  add(request: R): void;
  /** Puts requests of a batch that was lost back at the head of the queue, before all that wait, in the order given. */
  putBack(requests: readonly R[]): void;
  /** Takes a request out that has not left with a batch. @returns whether it was there */
  withdraw(id: number): boolean;
  /**
   * One round: routes from the head of the queue until every engine is saturated (or cannot take more) or the queue is empty, and returns the batches
   * that leave now. An engine takes a batch while fewer than `depth` of its own are under way.
   * @param drain nothing more will come: what is there leaves although below the threshold
   */
  round(nowMs: number, drain?: boolean): ScheduledBatch<R>[];
  /** When the next batch leaves if nothing else happens; Infinity when none waits. */
  nextLeaveMs(): number;
  /** A batch of `engine` was answered, or failed (`lost`: its promises to the cache are void). `events`: what its cache has and has no more. */
  finished(batch: ScheduledBatch<R>, events?: { readonly materialised: Float64Array; readonly evicted: Float64Array }): void;
  /** The engine's cache is empty and its filling batch goes back to the head of the queue; it takes nothing until {@link ready}. */
  lost(engine: number): void;
  ready(engine: number): void;
  load(engine: number): EngineLoad;
  /** Requests that no batch has. */
  readonly waiting: number;
}
