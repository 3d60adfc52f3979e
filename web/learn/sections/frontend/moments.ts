/** What happens in a run, one thing after the other: the drawing and the sentences are made of these alone. */
import type { CacheEvents } from '../../../../src/engine/prefix/cache-events.ts';
import type { SimRequest } from '../../../../src/sim/serving/request.ts';
import type { Arrival } from './arrivals.ts';
import type { FrontendSettings, Scene } from './scene.ts';

/** A batch on its way through an engine. */
export interface Pass {
  /** From 0, in the order in which batches left. */
  readonly id: number;
  readonly engine: number;
  readonly requests: readonly SimRequest[];
  /** Leading blocks of each request that counted as cached when it was routed. */
  readonly matched: readonly number[];
  /** Leading tokens of each request that were not computed. */
  readonly cachedTokens: readonly number[];
  /** FLOPs that the scheduler reckoned, and what the last request added. */
  readonly reckonedFlops: number;
  readonly lastFlops: number;
  /** It had T FLOPs as the scheduler reckoned. */
  readonly saturated: boolean;
  /** True ones, given what was cached. */
  readonly flops: number;
  readonly leftMs: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly computeMs: number;
  /** Wait for experts. */
  readonly exposedMs: number;
  readonly events: CacheEvents;
}

interface At {
  readonly ms: number;
}

/** A request joined the queue. */
export interface Arrived extends At {
  readonly kind: 'arrived';
  readonly request: number;
  /** Nothing was decided about it in the round at its arrival. */
  readonly waits: boolean;
}

/** A baseline gave a request to an engine's own queue. */
export interface Queued extends At {
  readonly kind: 'queued';
  readonly request: number;
  readonly engine: number;
}

/** A request was put into an engine's batch. */
export interface Routed extends At {
  readonly kind: 'routed';
  readonly request: number;
  readonly engine: number;
  /** Leading blocks that count as cached there. */
  readonly matched: number;
  /** What it adds to the engine's load. */
  readonly flops: number;
  /** Leading blocks that each engine has or was promised. */
  readonly matches: readonly number[];
  /** FLOPs of each engine's batch before it. */
  readonly loads: readonly number[];
}

export interface Saturated extends At {
  readonly kind: 'saturated';
  readonly engine: number;
  readonly flops: number;
}

export interface OfPass extends At {
  /** `started`: its engine computes it; `evicted`: its cache forgot blocks to make room for the pass's. */
  readonly kind: 'left' | 'started' | 'ended' | 'evicted';
  readonly pass: Pass;
}

export type Moment = Arrived | Queued | Routed | Saturated | OfPass;

export interface FrontendRun {
  readonly settings: FrontendSettings;
  readonly scene: Scene;
  readonly arrivals: readonly Arrival[];
  /** In the order in which they happened. */
  readonly moments: readonly Moment[];
  /** In the order in which they left. */
  readonly passes: readonly Pass[];
  /** By request. */
  readonly answeredMs: Float64Array;
}
