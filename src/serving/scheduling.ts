/**
 * The frontend's decisions (paper section 5): which engine a request goes to, and when an engine's batch leaves. Pure and deterministic: the server
 * and the simulator drive the same code, with their own clocks. `createScheduler` makes one.
 */
import type { CacheEvents } from '../engine/prefix/cache-events.ts';

/** Ways to choose an engine. `prefix` is the paper's, `grouped` the same with siblings one after the other; the others are the paper's baselines. */
export const SCHEDULERS = ['prefix', 'grouped', 'least-loaded', 'shortest-prefill-first', 'random'] as const;
export type SchedulerKind = (typeof SCHEDULERS)[number];

/** Engines of a scheduler at most. */
export const MAX_ENGINES = 4096;

/** Whether it gathers requests until a batch has T FLOPs; the others know no T. */
export const gathers = (kind: SchedulerKind): boolean => kind === 'prefix' || kind === 'grouped';

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
  /**
   * T_batch in FLOPs: an engine whose batch has as many takes no more. 0: there is nothing to hide and nothing is gathered, so a batch takes what
   * memory allows and leaves as soon as its engine is idle; beside a batch under way, when it is full or has waited. Of `prefix` and `grouped`.
   */
  readonly threshold: number;
  /** Memory: tokens to compute of one batch at most, and KV blocks (one that requests of the batch share counts once). A longer request goes alone. */
  readonly batchTokens: number;
  readonly batchBlocks: number;
  /** A batch below the threshold leaves when its oldest request has waited so long. Of `prefix` and `grouped`: the baselines hold nothing back. */
  readonly maxWaitMs: number;
  /** Blocks of each engine's prefix cache: bounds what the router believes to be there. */
  readonly cacheBlocks: number;
  /** Of `random`. */
  readonly seed: number;
  /**
   * Told of each request that is put into an engine's batch, with its leading blocks that count as cached there; and, with null, of each that the baselines
   * put into an engine's own queue. Changes nothing: for who wants to see decisions one by one.
   */
  readonly onRoute?: (id: number, engine: number, matched: number | null) => void;
}

/** A batch that leaves. */
export interface ScheduledBatch<R extends Routable> {
  readonly engine: number;
  readonly requests: readonly R[];
  /** What the scheduler reckoned: FLOPs and tokens left to compute. */
  readonly flops: number;
  readonly tokens: number;
  /** What its last request added, for the bound `flops in [T, T + lastFlops)` of a saturated batch of `prefix` and `grouped`. */
  readonly lastFlops: number;
  /** flops >= T. */
  readonly saturated: boolean;
}

export interface EngineLoad {
  /** FLOPs of the batch being filled: the paper's L_i. 0 of the baselines, which form a batch when it leaves. */
  readonly filling: number;
  /** Requests that are its own and have not left; those claimed of `grouped` are among them. */
  readonly fillingRequests: number;
  /** Batches that left and have not been answered. */
  readonly underWay: number;
  /** Blocks of its cache, as its events say, and different blocks that requests of it will have computed. */
  readonly committedBlocks: number;
  readonly pendingBlocks: number;
}

export interface Scheduler<R extends Routable> {
  /** Puts a request at the end of the queue. */
  add(request: R): void;
  /** Puts requests of a batch that was lost back at the head of the queue, before all that wait, in the order given. */
  putBack(requests: readonly R[]): void;
  /** Takes a request out that has not left; those that shared its batch are routed anew, in their places. @returns whether it was there */
  withdraw(id: number): boolean;
  /**
   * Rounds, until nothing more leaves: each routes from the queue until every engine is saturated (or cannot take more) or the queue is empty;
   * then batches leave that are saturated or full, or whose oldest request has waited long enough, of engines with fewer than two under way. To be
   * called when something was added or finished, and at {@link nextLeaveMs}.
   * @param drain nothing more will come: what is there leaves although below the threshold
   * @returns the batches that leave now, in order
   */
  round(nowMs: number, drain?: boolean): ScheduledBatch<R>[];
  /** When, after a round, the next batch leaves if nothing else happens; Infinity when none does (all engines with a batch have two under way). */
  nextLeaveMs(): number;
  /**
   * A batch was answered, or failed: its promises to the cache are kept or void. `events` (where answered): what the cache has now and has no more.
   * Nothing happens for a batch of an engine that was lost since.
   */
  finished(batch: ScheduledBatch<R>, events?: CacheEvents): void;
  /** The engine's cache is empty, its batches under way are forgotten and what has not left goes back to its place in the queue; it takes nothing until {@link ready}. */
  lost(engine: number): void;
  ready(engine: number): void;
  load(engine: number): EngineLoad;
  /** Requests that have not left. */
  readonly waiting: number;
}
