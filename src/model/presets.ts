/** The published shapes, for runs with random weights. */
import { InputError } from '../errors.ts';
import { parseConfig } from './config.ts';
import type { ModelConfig } from './types.ts';

const QWEN3 = {
  model_type: 'qwen3_moe',
  architectures: ['Qwen3MoeForCausalLM'],
  vocab_size: 151936,
  head_dim: 128,
  num_key_value_heads: 4,
  num_experts: 128,
  num_experts_per_tok: 8,
  norm_topk_prob: true,
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000,
  max_position_embeddings: 40960,
  torch_dtype: 'bfloat16',
};

/** config.json of huggingface.co/Qwen/Qwen3-30B-A3B and Qwen3-235B-A22B, as far as it changes the result. */
const PRESETS = {
  'qwen3-30b-a3b': {
    ...QWEN3, hidden_size: 2048, intermediate_size: 6144, num_hidden_layers: 48, num_attention_heads: 32, moe_intermediate_size: 768,
  },
  'qwen3-235b-a22b': {
    ...QWEN3, hidden_size: 4096, intermediate_size: 12288, num_hidden_layers: 94, num_attention_heads: 64, moe_intermediate_size: 1536,
  },
};

export const presetNames: readonly string[] = Object.keys(PRESETS);

/**
 * The configuration of a published model.
 * @param layers keeps the first `layers` layers only; a layer costs what it costs in the whole model
 * @throws InputError for an unknown name or an impossible number of layers
 */
export function presetConfig(name: string, { layers }: { layers?: number | undefined } = {}): ModelConfig {
  if (!Object.hasOwn(PRESETS, name)) throw new InputError('preset', name, `is unknown; expected ${presetNames.join(' or ')}`);
  const preset = PRESETS[name as keyof typeof PRESETS];
  if (layers !== undefined && !(Number.isInteger(layers) && layers >= 1 && layers <= preset.num_hidden_layers)) {
    throw new InputError('preset', name, `cannot have ${layers} layers; expected 1 to ${preset.num_hidden_layers}`);
  }
  return parseConfig({ ...preset, num_hidden_layers: layers ?? preset.num_hidden_layers }, name);
}
