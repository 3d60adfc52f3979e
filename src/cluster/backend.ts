/** What a rank process runs. The one in use is engine-backend.ts; the seam lets the protocol be tested without a device. */
import type { ShardGeometry, ShardReader } from '../collective/transport.ts';
import type { MemoryRow } from '../strategy/memory.ts';
import type { StreamEvent, StreamStats } from '../strategy/stats.ts';
import type { RankSetup } from './messages.ts';

/** One batch of a pass. */
export interface RankBatch {
  readonly sequences: readonly Uint32Array[];
  /** Tokens whose logits are asked for; null: the whole vocabulary. */
  readonly candidates: Uint32Array | null;
}

export interface RankOutput {
  /** [sequences, width], row-major. */
  readonly logits: Float32Array;
  readonly width: number;
  readonly flops: number;
  /** What the engine counted; kept as it is. */
  readonly engine: Record<string, unknown>;
}

/** A compute span of the engine on this process's `performance.now()` clock. */
export interface ComputeEvent {
  readonly track: 'compute';
  readonly name: string;
  readonly startMs: number;
  readonly durationMs: number;
  readonly layer?: number;
  /** This rank's own count of passes, from 0; warm-up passes are below. */
  readonly pass: number;
}

/** Events count passes as the rank has them, from 0; warm-up passes are below. */
export interface BackendHooks {
  trace(event: StreamEvent | ComputeEvent): void;
}

export interface RankBackend {
  readonly geometry: ShardGeometry;
  /** Name of the adapter. */
  readonly adapter: string;
  /** What a tuning depends on; ranks with the same key share theirs. */
  readonly tuningKey: string;
  readonly software: boolean;
  /** Packed bytes of one expert. */
  pack(layer: number, expert: number): Promise<Uint8Array>;
  /** Measures which kernels suit this adapter; any JSON value. */
  tune(): Promise<unknown>;
  /** Loads all other weights and starts the stream of slots. */
  prepare(readers: readonly ShardReader[], tuning: unknown): Promise<void>;
  /** Compiles what a pass needs, by running small ones; everything of the stream has been read once afterwards. */
  warm(): Promise<void>;
  /** Device memory, part by part, as it must be and as it was allocated. */
  memory(): MemoryRow[];
  forward(batch: RankBatch, pass: number): Promise<RankOutput>;
  takeStats(): StreamStats;
  close(): Promise<void>;
}

/** Opens model and device; nothing large is read yet. */
export type OpenBackend = (setup: RankSetup, hooks: BackendHooks) => Promise<RankBackend>;
