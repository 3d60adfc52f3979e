/** What ranks are launched with, and what is known of them. */
import type { Link } from '../collective/link.ts';
import type { KvMode } from '../engine/index.ts';
import type { Dispatch } from '../engine/split/shape.ts';
import type { WireDtype } from '../runtime/kernels/exchange.ts';
import type { StreamSettings } from '../strategy/context.ts';
import type { Strategy } from '../strategy/index.ts';
import type { MemoryRow } from '../strategy/memory.ts';
import type { TraceEvent } from '../trace/events.ts';
import type { Activations, ModelSource, PassStats, RankSetup, TransportKind, Tuning } from './messages.ts';

export interface ClusterOptions {
  readonly model: ModelSource;
  /** 1 to 8, at most the model's experts. */
  readonly ranks: number;
  readonly strategy: Strategy;
  /** Parts of adapter names, given to the ranks in turn; none: the machine's preferred adapter. */
  readonly adapters?: readonly string[];
  /** Tokens of one pass at most, unless one sequence is longer; 4096 by default. */
  readonly batchTokens?: number;
  /** Element type of packed weights; as the checkpoint has them by default. */
  readonly dtype?: NonNullable<RankSetup['dtype']>;
  /** Operands of the experts' products: `f32` (default), `f16`, or `auto`: what the tuner finds faster. Attention and router read f32. */
  readonly activations?: Activations;
  /** Time the kernels' variants on adapters of which `tuning` says nothing; else they run the default plan. */
  readonly tune?: boolean;
  /** Options of every rank's engine. */
  readonly engine?: Readonly<Record<string, unknown>>;
  readonly stream?: Partial<StreamSettings>;
  /** How bytes come to peers; `shared-memory` by default. */
  readonly transport?: TransportKind;
  /** Shapes all bytes between ranks; none: as fast as they go. */
  readonly link?: Link;
  /** Element type of activations between ranks; `f32` by default. */
  readonly wire?: WireDtype;
  /** What travels to experts under `ep` and `tp-ep`: a token once to each rank that has one of its experts (default), or once for each expert. */
  readonly dispatch?: Dispatch;
  /** Own experts stay in host memory; so many layers are held on the device ahead of the one that computes. 0 (default): they stay on the device. */
  readonly offloadLayers?: number;
  /** Passes under way at a time where ranks compute batches together; by default 2 (their transfers overlap with each other's compute), in `pp` ranks + 1. */
  readonly passesInFlight?: number;
  /** How long keys and values are kept; `layer` by default. */
  readonly kv?: KvMode;
  /** Device memory of each rank's prefix cache; none by default. For strategies in which weights travel, or nothing does. */
  readonly prefixCacheBytes?: number;
  /** Most bytes of device memory for each rank. */
  readonly deviceMemoryBytes?: number;
  /** A rank that gives its peers, or during passes the coordinator, no sign of life for so long is given up; 10 s by default. */
  readonly deadlineMs?: number;
  /** Where ranks run and listen, in turn; this machine's loopback by default. For `websocket` only. */
  readonly hosts?: readonly RankHost[];
  /** PEM files for TLS between ranks (`websocket`). */
  readonly tls?: NonNullable<RankSetup['tls']>;
  /** Largest bank, bytes; what the adapter can bind by default. */
  readonly bankBytes?: number;
  /** What an earlier run measured, so that it need not be measured again. */
  readonly tuning?: Tuning;
  /** A rank that is silent for so long while it starts is given up; 60 s by default (a driver that compiles may block it for a while). */
  readonly silenceMs?: number;
  /** A pass that takes so long is given up; 10 minutes by default. */
  readonly passDeadlineMs?: number;
  readonly onProgress?: (progress: Progress) => void;
  /** Timeline events; microseconds since this process's `performance.timeOrigin`. */
  readonly onTrace?: (events: readonly TraceEvent[]) => void;
  /** For tests of the protocol: URL of a module with another `openBackend`. */
  readonly backendModule?: string;
}

/** A place for a rank. */
export interface RankHost {
  /** Address that the rank listens on and that its peers reach, without a port. */
  readonly address: string;
  /** Put before the rank's command line: `['ip', 'netns', 'exec', 'a']`, say. */
  readonly command?: readonly string[];
}

/** `done` of `total` experts packed, ranks warmed up, or sequences answered. */
export interface Progress {
  readonly phase: 'loading' | 'warm-up' | 'passes';
  readonly done: number;
  readonly total: number;
}

export interface RankInfo {
  readonly rank: number;
  readonly pid: number;
  readonly adapter: string;
  readonly software: boolean;
  /** t_EP (paper section 2): milliseconds of the slowest gather of a layer during warm-up; 0 where nothing is gathered. */
  readonly gatherMs: number;
  /** Device memory, part by part, as it must be and as it was allocated after the last pass. */
  memory: readonly MemoryRow[];
}

export interface RunOptions {
  /** Called with each sequence's logits as they come, in any order. */
  readonly onLogits?: (sequence: number, logits: Float32Array) => void;
}

export interface RunResult {
  /** For each sequence: logits of its last position, of the candidates or of the whole vocabulary. */
  readonly logits: Float32Array[];
  readonly passes: PassStats[];
  readonly wallMs: number;
}

export interface Cluster {
  readonly ranks: readonly RankInfo[];
  /** What was measured or given, by what it was measured for (adapter, driver, weights, kernels). */
  readonly tuning: Tuning;
  /**
   * Runs all sequences. Runs follow one another.
   * @throws RankError when a rank dies, hangs or fails; the cluster is closed then
   */
  run(sequences: readonly Uint32Array[], candidates: Uint32Array | null, options?: RunOptions): Promise<RunResult>;
  /** Ends all ranks; no process and no segment is left. */
  close(): Promise<void>;
}
