import { parseConfig } from '../../src/model/config.ts';
import type { ModelConfig } from '../../src/model/types.ts';

/** A model small enough to count by hand; all layers MoE. */
export const smallConfig = (changes: Record<string, unknown> = {}): ModelConfig => parseConfig({
  model_type: 'qwen3_moe', vocab_size: 256, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 4, num_attention_heads: 4, num_key_value_heads: 2,
  head_dim: 8, num_experts: 8, num_experts_per_tok: 2, moe_intermediate_size: 64, max_position_embeddings: 4096, torch_dtype: 'bfloat16', ...changes,
}, 'test');
