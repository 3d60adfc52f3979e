/** What an engine is made with, and what a pass gives. */
import type { PackedDtype } from '../runtime/layout.ts';
import type { KernelPlan } from '../runtime/plan.ts';
import type { TokenScores } from './batch.ts';
import type { KvMode } from './kv-blocks.ts';
import type { CacheEvents } from './prefix/cache-events.ts';
import type { StageLinks } from './stage.ts';

export interface EngineOptions {
  /** Kernel variants; {@link defaultPlan} otherwise. */
  readonly plan?: KernelPlan;
  /** Element type of weights on the device and in the stream of experts; as stored in the checkpoint otherwise. */
  readonly weightDtype?: PackedDtype;
  /** Most tokens of a chunk (bounds activation memory); made smaller where a binding would not hold it. */
  readonly chunkTokens?: number;
  /** How long keys and values are kept: `layer` (default), `none`, the KV-cache-free mode, or `cache`; the logits are the same to the bit. */
  readonly kv?: KvMode;
  /** With `cache`: most bytes of prefixes that are kept for later batches; 0 (default): only sequences of a batch share. */
  readonly prefixCacheBytes?: number;
  /** Measures every layer on the device's clock (where it has timestamps). */
  readonly timestamps?: boolean;
  /** The engine is one stage of a pipeline: `weights` are its layers. */
  readonly stage?: StageLinks;
  readonly onLayerLoaded?: (done: number, of: number) => void;
}

export interface PassStats {
  readonly pass: number;
  /** Tokens that were computed. */
  readonly tokens: number;
  readonly sequences: number;
  /** KV blocks that were held. */
  readonly blocks: number;
  /** True FLOPs that were computed. */
  readonly flops: number;
  /** Host clock: from the call to the answer. */
  readonly startMs: number;
  readonly endMs: number;
}

export interface PassResult {
  /** [sequences, candidates] (or the whole vocabulary), of each sequence's last position. */
  readonly logits: Float32Array;
  /** Of all scored positions; null when there are none. */
  readonly scores: TokenScores | null;
  /** Tokens of each sequence that were not computed, because an earlier one has the same. */
  readonly cachedTokens: readonly number[];
  readonly cache: CacheEvents;
  readonly stats: PassStats;
}
