/** What a rank process runs. The one in use is engine-backend.ts; the seam lets the protocol be tested without a device. */
import type { Messenger } from '../collective/messenger.ts';
import type { ShardGeometry, ShardReader } from '../collective/transport.ts';
import type { CacheEvents, TokenScores } from '../engine/index.ts';
import type { ModelConfig } from '../model/types.ts';
import type { MemoryRow } from '../strategy/memory.ts';
import type { StreamEvent, StreamStats } from '../strategy/stats.ts';
import type { RankSetup } from './messages.ts';

/** One batch of a pass. */
export interface RankBatch {
  readonly sequences: readonly Uint32Array[];
  /** Tokens whose logits are asked for; null: the whole vocabulary. */
  readonly candidates: Uint32Array | null;
  /** Where ranks compute a batch together: lengths of each rank's sequences, or one list of all. */
  readonly lengths?: readonly (readonly number[])[];
  /** Passes that go through the layers together, this one among them; 1 by default. */
  readonly together?: number;
  /** Last positions of each sequence that are scored; none by default. */
  readonly scored?: readonly number[];
  /** Most likely tokens told at each of them. */
  readonly top?: number;
}

export interface RankOutput {
  /** [sequences, width], row-major. */
  readonly logits: Float32Array;
  readonly width: number;
  /** Which sequences the rows are of; all, in order, when not given. */
  readonly rows?: readonly number[];
  readonly scores?: TokenScores | null;
  /** Tokens of each sequence that were cached; none when not given. */
  readonly cachedTokens?: readonly number[];
  readonly cache?: CacheEvents;
  readonly flops: number;
  /** (token, expert) pairs computed here. */
  readonly expertRows: number;
  /** What the engine counted; kept as it is. */
  readonly engine: Record<string, unknown>;
}

/** What went over the link since the last call, and what of it was not hidden. */
export interface LinkStats {
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly transferMs: number;
  readonly exposedMs: number;
}

/** A compute span of the engine on this process's `performance.now()` clock. */
export interface ComputeEvent {
  readonly track: 'compute' | 'send' | 'receive' | 'wait';
  readonly name: string;
  readonly startMs: number;
  readonly durationMs: number;
  readonly layer?: number;
  readonly bytes?: number;
  /** This rank's own count of passes, from 0. */
  readonly pass: number;
}

/** What a batch may hold. */
export interface BatchRoom {
  /** Most KV blocks of one batch. */
  readonly maxBatchBlocks: number;
  /** Blocks of the prefix cache; 0: there is none. */
  readonly cacheBlocks: number;
}

/** FLOP/s, a multiply-add counts 2. */
export interface MeasuredRates {
  /** Of a whole pass: true FLOPs by wall time. */
  readonly passFlopsPerSecond: number;
  /** Of the best dense product. */
  readonly peakFlopsPerSecond: number;
}

/** Events count passes as the rank has them, from 0; those of warm-up are left out. */
export interface BackendHooks {
  trace(event: StreamEvent | ComputeEvent): void;
}

export interface RankBackend {
  /** Of what this rank keeps: of the world, or, where only activations travel, of its own experts as a world of one. */
  readonly geometry: ShardGeometry;
  /** Which part of the geometry this rank publishes. */
  readonly shard: number;
  /** Whether ranks exchange messages. */
  readonly needsMessenger: boolean;
  /** Name of the adapter. */
  readonly adapter: string;
  /** What a tuning depends on; ranks with the same key share theirs. */
  readonly tuningKey: string;
  readonly software: boolean;
  readonly limits: Pick<ModelConfig, 'vocabSize' | 'maxPositionEmbeddings'>;
  /** Packed bytes of one expert. */
  pack(layer: number, expert: number): Promise<Uint8Array>;
  /** Measures which kernels suit this adapter; any JSON value. */
  tune(): Promise<unknown>;
  /**
   * Loads all other weights and starts the stream of slots.
   * @param messenger where `needsMessenger`
   * @returns the most tokens of a chunk, where ranks must agree on it; null elsewhere
   */
  prepare(readers: readonly ShardReader[], tuning: unknown, messenger: Messenger | null): Promise<number | null>;
  /** Compiles what a pass needs, by running small ones, on all ranks at once; everything of the stream has been read once afterwards. */
  warm(chunkTokens: number | null): Promise<void>;
  /** After warm-up, on all ranks at once. Where ranks compute batches together each has `tokens` tokens, or one share of as many. */
  measure(tokens: number): Promise<MeasuredRates>;
  room(): BatchRoom;
  /** Device memory, part by part, as it must be and as it was allocated. */
  memory(): MemoryRow[];
  /**
   * @throws InputError for a batch that cannot be run, of which nothing was: where `needsMessenger` the peers wait for it in vain, elsewhere
   *   the next pass can follow
   */
  forward(batch: RankBatch, pass: number): Promise<RankOutput>;
  takeStats(): StreamStats;
  takeLinkStats(): LinkStats;
  close(): Promise<void>;
}

/** Opens model and device; nothing large is read yet. */
export type OpenBackend = (setup: RankSetup, hooks: BackendHooks) => Promise<RankBackend>;
