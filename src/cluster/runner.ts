/** What runs passes in a rank: with experts that come by weight (stream-runner.ts), or with activations that travel (row-runner.ts). */
import type { Messenger } from '../collective/messenger.ts';
import type { ShardGeometry, ShardReader } from '../collective/transport.ts';
import type { ModelConfig, ModelWeights } from '../model/types.ts';
import type { GpuDevice } from '../runtime/device.ts';
import type { PackedDtype } from '../runtime/layout.ts';
import type { KernelPlan } from '../runtime/plan.ts';
import type { MemoryRow } from '../strategy/memory.ts';
import type { StreamStats } from '../strategy/stats.ts';
import type { BackendHooks, BatchRoom, LinkStats, RankBatch, RankOutput } from './backend.ts';
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
  /** @returns FLOP/s of a pass of about so many tokens, as large as those that serve and after the kernels were compiled: the better of two */
  measure(tokens: number): Promise<number>;
  room(): BatchRoom;
  forward(batch: RankBatch, pass: number): Promise<RankOutput>;
  takeStats(): StreamStats;
  takeLinkStats(): LinkStats;
  memory(): MemoryRow[];
  close(): Promise<void>;
}

/** Passes before the first real one, and tokens of each. */
export const WARM_PASSES = 2;
export const WARM_TOKENS = 32;

/** Passes that are timed: the first may have to grow the workspace. */
export const MEASURED_PASSES = 2;
/** Tokens of their sequences at most. */
const MEASURED_SEQUENCE_TOKENS = 128;

/**
 * Sequences of a timed pass, `total` tokens in all. Tokens differ from place to place and from pass to pass, so that routers have something to choose
 * from and no prefix is cached.
 */
export function measuredSequences(total: number, pass: number, { vocabSize, maxPositionEmbeddings }: Pick<ModelConfig, 'vocabSize' | 'maxPositionEmbeddings'>): Uint32Array[] {
  const longest = Math.min(MEASURED_SEQUENCE_TOKENS, maxPositionEmbeddings);
  const sequences: Uint32Array[] = [];
  for (let at = 0; at < total; at += longest) {
    sequences.push(Uint32Array.from({ length: Math.min(longest, total - at) }, (_, n) => (7919 * (pass * total + at + n + 1)) % vocabSize));
  }
  return sequences;
}

/** The best FLOP/s of {@link MEASURED_PASSES} runs of `run`, which resolves to the FLOPs it took. */
export async function bestRate(run: (pass: number) => Promise<number>): Promise<number> {
  let best = 0;
  for (let pass = 0; pass < MEASURED_PASSES; pass++) {
    const startMs = performance.now();
    const flops = await run(pass);
    best = Math.max(best, flops / ((performance.now() - startMs) / 1e3));
  }
  return best;
}
