/** Models and batches for tests of the strategies that move rows: any shape, seeded weights. */
import { parseConfig } from '../../src/model/config.ts';
import { randomWeights } from '../../src/model/random-weights.ts';
import type { ModelConfig, ModelWeights } from '../../src/model/types.ts';

/** Three MoE layers of eight experts of width 32, top-2; four heads over two. */
export const rowConfig = (changes: Record<string, unknown> = {}): ModelConfig => parseConfig({
  model_type: 'qwen3_moe', vocab_size: 96, hidden_size: 32, intermediate_size: 40, num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2,
  head_dim: 8, num_experts: 8, num_experts_per_tok: 2, moe_intermediate_size: 32, norm_topk_prob: true, max_position_embeddings: 2048, torch_dtype: 'float32', ...changes,
}, 'test');

export const rowModel = (changes: Record<string, unknown> = {}, seed = 1): Promise<ModelWeights> => randomWeights(rowConfig(changes), { seed });

/** Sequences of the given lengths; tokens follow no pattern, and no two sequences begin alike. */
export const sequencesOf = (lengths: readonly number[], vocabulary = 96): Uint32Array[] =>
  lengths.map((length, s) => Uint32Array.from({ length }, (_, t) => ((s * 31 + t * 17 + t * t * 5 + 7) * 2654435761 >>> 7) % vocabulary));
