/** What runs passes in a rank: with experts that come by weight (stream-runner.ts), or with activations that travel (row-runner.ts). */
import type { Messenger } from '../collective/messenger.ts';
import type { ShardGeometry, ShardReader } from '../collective/transport.ts';
import type { ModelWeights } from '../model/types.ts';
import type { GpuDevice } from '../runtime/device.ts';
import type { PackedDtype } from '../runtime/layout.ts';
import type { KernelPlan } from '../runtime/plan.ts';
import type { MemoryRow } from '../strategy/memory.ts';
import type { StreamStats } from '../strategy/stats.ts';
import type { BackendHooks, LinkStats, RankBatch, RankOutput } from './backend.ts';
import type { RankSetup } from './messages.ts';

export interface RunnerContext {
  readonly setup: RankSetup;
  readonly hooks: BackendHooks;
  readonly weights: ModelWeights;
  readonly gpu: GpuDevice;
  readonly dtype: PackedDtype;
}

export interface Runner {
  readonly geometry: ShardGeometry;
  readonly shard: number;
  readonly needsMessenger: boolean;
  pack(layer: number, expert: number): Promise<Uint8Array>;
  prepare(plan: KernelPlan, readers: readonly ShardReader[], messenger: Messenger | null): Promise<number | null>;
  /** Twice: the first pass compiles kernels and verifies every expert's checksum, the second shows how long a gather takes. */
  warm(chunkTokens: number | null): Promise<void>;
  forward(batch: RankBatch, pass: number): Promise<RankOutput>;
  takeStats(): StreamStats;
  takeLinkStats(): LinkStats;
  memory(): MemoryRow[];
  close(): Promise<void>;
}

/** Passes before the first real one, and tokens of each. */
export const WARM_PASSES = 2;
export const WARM_TOKENS = 32;
