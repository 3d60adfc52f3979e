/** The heart of the server: takes requests, has the scheduler choose engines and batches, and answers each accepted request exactly once. */
import type { EngineInfo } from '../cluster/engine-pool.ts';
import type { PassStats } from '../cluster/messages.ts';
import type { TraceEvent } from '../trace/events.ts';
import type { ServingAnswer, ServingRequest } from './requests.ts';
import type { Saturation } from './saturation.ts';
import type { EngineLoad, SchedulerKind } from './scheduling.ts';

/** A pass that was answered. */
export interface ServedPass {
  readonly engine: number;
  readonly requests: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  /** As the scheduler reckoned, and as the engine counted. */
  readonly plannedFlops: number;
  readonly stats: PassStats;
  /** Fill against T: true FLOPs / T; 1 where T is 0. */
  readonly fill: number;
  /** Epoch milliseconds. */
  readonly endedMs: number;
}

/** Counters since the start. */
export interface ServiceCounts {
  readonly accepted: number;
  readonly answered: number;
  /** Ended with an error of their own or after too many attempts. */
  readonly failed: number;
  /** Refused: the queue was full. */
  readonly rejected: number;
  readonly cancelled: number;
  /** Runs of a request beyond its first, because the engine was lost. */
  readonly retried: number;
}

export interface EngineSnapshot {
  readonly info: EngineInfo;
  readonly load: EngineLoad;
  /** Sums over its passes. */
  readonly passes: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly flops: number;
  readonly busyMs: number;
  readonly exposedMs: number;
  readonly belowThreshold: number;
}

export interface ServiceSnapshot {
  readonly startedMs: number;
  readonly scheduler: SchedulerKind;
  readonly saturation: Saturation;
  readonly draining: boolean;
  readonly waiting: number;
  readonly underWay: number;
  readonly counts: ServiceCounts;
  readonly engines: readonly EngineSnapshot[];
  /** The last ones, the newest last. */
  readonly passes: readonly ServedPass[];
  /** Timeline events of the last passes. */
  readonly trace: readonly TraceEvent[];
}

/** Who wants to know what happens as it happens (metrics). */
export interface ServiceObserver {
  accepted?(request: ServingRequest): void;
  rejected?(): void;
  cancelled?(): void;
  answered?(request: ServingRequest, answer: ServingAnswer): void;
  failed?(request: ServingRequest, error: Error): void;
  retried?(requests: number, engine: number): void;
  pass?(pass: ServedPass): void;
  engine?(engine: EngineInfo): void;
}

export interface Service {
  readonly saturation: Saturation;
  /**
   * Accepts a request and answers it once, whatever happens to engines.
   * @throws OverloadedError, DrainingError (not accepted); CancelledError, GivenUpError, NoEnginesError, InputError
   */
  submit(request: ServingRequest): Promise<ServingAnswer>;
  snapshot(): ServiceSnapshot;
  observe(observer: ServiceObserver): void;
  /** All engines can be given work. */
  readonly ready: boolean;
  /** Takes nothing new and resolves when everything accepted is answered. */
  drain(): Promise<void>;
  /** Ends the engines; what is not answered fails. */
  close(): Promise<void>;
}
