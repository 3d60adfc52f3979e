import { describe, expect, it } from 'vitest';
import { parseConfig, readConfig } from '../../src/model/config.ts';
import { memoryFiles } from '../../src/model/files.ts';
import { messageOf, TINY } from './folders.ts';

const withFields = (fields: object) => parseConfig({ ...TINY, ...fields });
const refusal = (fields: object): Promise<string> => messageOf(() => withFields(fields));

describe('config.json', () => {
  it('has the defaults of transformers for absent fields', () => {
    const { layerIsMoe, ...config } = parseConfig({ model_type: 'qwen3_moe' });
    expect(layerIsMoe).toEqual(Array(24).fill(true));
    // The defaults of Qwen3MoeConfig in transformers 4.57.6 and 5.23.0; head_dim is hidden_size // num_attention_heads.
    expect(config).toEqual({
      vocabSize: 151936, hiddenSize: 2048, numHiddenLayers: 24, numAttentionHeads: 32, numKeyValueHeads: 4, headDim: 64,
      intermediateSize: 6144, moeIntermediateSize: 768, numExperts: 128, numExpertsPerTok: 8, normTopkProb: false, rmsNormEps: 1e-6,
      ropeTheta: 10000, ropeScaling: null, attentionBias: false, tieWordEmbeddings: false, maxPositionEmbeddings: 32768, dtype: 'F32',
    });
  });

  it('is read as transformers 4 and as transformers 5 write it', () => {
    const older = withFields({ rope_theta: 1e6, rope_scaling: null, torch_dtype: 'bfloat16', norm_topk_prob: true });
    const { num_experts, ...others } = TINY;
    const newer = parseConfig({
      ...others, num_local_experts: num_experts, rope_parameters: { rope_theta: 1e6, rope_type: 'default' }, dtype: 'bfloat16', norm_topk_prob: true,
    });
    expect(newer).toEqual(older);
    expect(older).toMatchObject({ ropeTheta: 1e6, dtype: 'BF16', normTopkProb: true });
  });

  it('makes layers dense by mlp_only_layers and decoder_sparse_step', () => {
    const moe = (fields: object) => withFields({ num_hidden_layers: 6, ...fields }).layerIsMoe;
    expect(moe({ mlp_only_layers: [0, 4] })).toEqual([false, true, true, true, false, true]);
    expect(moe({ mlp_only_layers: null, decoder_sparse_step: 2 })).toEqual([false, true, false, true, false, true]);
    expect(moe({ mlp_only_layers: [1], decoder_sparse_step: 3 })).toEqual([false, false, true, false, false, true]);
  });

  it('honours what changes the result', () => {
    expect(withFields({ attention_bias: true, tie_word_embeddings: true, rms_norm_eps: 1e-5, head_dim: null, hidden_size: 8 }))
      .toMatchObject({ attentionBias: true, tieWordEmbeddings: true, rmsNormEps: 1e-5, headDim: 4 });
    expect(withFields({ rope_scaling: { rope_type: 'linear', factor: 2 } }).ropeScaling).toEqual({ kind: 'linear', factor: 2 });
    expect(withFields({ rope_scaling: { type: 'yarn', factor: 4 } }).ropeScaling).toEqual({
      kind: 'yarn', factor: 4, originalMaxPositionEmbeddings: 32, betaFast: 32, betaSlow: 1, truncate: true,
      attentionFactor: 0.1 * Math.log(4) + 1,
    });
  });

  it('ignores what does not change a prefill', () => {
    const ignored = { attention_dropout: 0.1, sliding_window: 4096, max_window_layers: 28, use_cache: false, router_aux_loss_coef: 1, eos_token_id: [1, 2] };
    expect(withFields(ignored)).toEqual(withFields({}));
  });
});

describe('config.json is refused', () => {
  it('when it is missing or not JSON', async () => {
    expect(await messageOf(() => readConfig(memoryFiles('m', {})))).toMatchInlineSnapshot(`"InputError: m/config.json: no such file; expected a Hugging Face model folder"`);
    expect(await messageOf(() => readConfig(memoryFiles('m', { 'config.json': '{"a": 1,}' })))).toMatch(
      /^InputError: m\/config.json: is not valid JSON: /);
    expect(await messageOf(() => parseConfig([1]))).toMatchInlineSnapshot(`"InputError: config.json: expected a JSON object, got [1]"`);
  });

  it('for another architecture', async () => {
    expect(await refusal({ model_type: 'llama' })).toMatchInlineSnapshot(`"InputError: config.json: model_type: expected "qwen3_moe", got "llama""`);
    expect(await refusal({ model_type: undefined })).toMatchInlineSnapshot(`"InputError: config.json: model_type: expected "qwen3_moe", got nothing"`);
    expect(await refusal({ architectures: ['Qwen3MoeForSequenceClassification'] })).toMatchInlineSnapshot(`"InputError: config.json: architectures: expected ["Qwen3MoeForCausalLM"], got ["Qwen3MoeForSequenceClassification"]"`);
  });

  it('for what we cannot compute', async () => {
    expect(await refusal({ hidden_act: 'gelu' })).toMatchInlineSnapshot(`"InputError: config.json: hidden_act: expected "silu", got "gelu""`);
    expect(await refusal({ use_sliding_window: true })).toMatchInlineSnapshot(`"InputError: config.json: use_sliding_window: expected false (sliding windows are not supported), got true"`);
    expect(await refusal({ layer_types: ['full_attention', 'sliding_attention'] })).toMatchInlineSnapshot(`"InputError: config.json: layer_types: expected "full_attention" for every layer, got ["full_attention","sliding_attention"]"`);
    expect(await refusal({ quantization_config: { quant_method: 'fp8' } })).toMatchInlineSnapshot(`"InputError: config.json: quantization_config: expected none (quantised checkpoints are not supported), got {"quant_method":"fp8"}"`);
    expect(await refusal({ partial_rotary_factor: 0.5 })).toMatchInlineSnapshot(`"InputError: config.json: partial_rotary_factor: expected 1 (partial rotation is not supported), got 0.5"`);
    expect(await refusal({ torch_dtype: 'float8_e4m3fn' })).toMatchInlineSnapshot(`"InputError: config.json: torch_dtype: expected "float32", "float16" or "bfloat16", got "float8_e4m3fn""`);
    expect(await refusal({ mlp_only_layers: [0, 1] })).toMatchInlineSnapshot(`"InputError: config.json: mlp_only_layers: with decoder_sparse_step leaves no mixture-of-experts layer; expected at least one"`);
  });

  it('for fields of the wrong type', async () => {
    expect(await refusal({ hidden_size: '2048' })).toMatchInlineSnapshot(`"InputError: config.json: hidden_size: expected a positive integer, got "2048""`);
    expect(await refusal({ num_hidden_layers: 0 })).toMatchInlineSnapshot(`"InputError: config.json: num_hidden_layers: expected a positive integer, got 0"`);
    expect(await refusal({ norm_topk_prob: 'yes' })).toMatchInlineSnapshot(`"InputError: config.json: norm_topk_prob: expected true or false, got "yes""`);
    expect(await refusal({ mlp_only_layers: 'none' })).toMatchInlineSnapshot(`"InputError: config.json: mlp_only_layers: expected a list of layer numbers, or null, got "none""`);
    expect(await refusal({ rms_norm_eps: -1 })).toMatchInlineSnapshot(`"InputError: config.json: rms_norm_eps: expected a number above 0, got -1"`);
    expect(await refusal({ head_dim: 5 })).toMatchInlineSnapshot(`"InputError: config.json: head_dim: expected a positive even integer, or null, got 5"`);
    expect(await refusal({ rope_theta: 1 })).toMatchInlineSnapshot(`"InputError: config.json: rope_theta: expected a number above 1, got 1"`);
  });

  it('for fields that do not fit together', async () => {
    expect(await refusal({ num_attention_heads: 3, num_key_value_heads: 2 })).toMatchInlineSnapshot(`"InputError: config.json: num_key_value_heads: expected a divisor of num_attention_heads 3, got 2"`);
    expect(await refusal({ num_experts_per_tok: 5 })).toMatchInlineSnapshot(`"InputError: config.json: num_experts_per_tok: expected at most num_experts 4, got 5"`);
    expect(await refusal({ head_dim: null, hidden_size: 10 })).toMatchInlineSnapshot(`"InputError: config.json: head_dim: expected a positive even integer, got 5 (hidden_size / num_attention_heads)"`);
    expect(await refusal({ num_local_experts: 8 })).toMatchInlineSnapshot(`"InputError: config.json: num_experts: 4 contradicts num_local_experts 8; expected one of the two"`);
    expect(await refusal({ dtype: 'float32', torch_dtype: 'float16' })).toMatchInlineSnapshot(`"InputError: config.json: dtype: "float32" contradicts torch_dtype "float16"; expected one of the two"`);
  });

  it.each(['dynamic', 'longrope', 'llama3', 'mrope', undefined])('for rope_scaling of type %s', async (type) => {
    const message = await refusal({ rope_scaling: { rope_type: type, factor: 2 } });
    expect(message).toBe(`InputError: config.json: rope_scaling.rope_type: expected "default", "linear" or "yarn", got ${type ? `"${type}"` : 'nothing'}`);
  });

  it('for rotary settings that are incomplete, unknown or contradictory', async () => {
    expect(await refusal({ rope_scaling: { type: 'linear' } })).toMatchInlineSnapshot(`"InputError: config.json: rope_scaling.factor: expected a number above 0, got nothing"`);
    expect(await refusal({ rope_scaling: { type: 'yarn', beta_fast: 8 } })).toMatchInlineSnapshot(`"InputError: config.json: rope_scaling.factor: expected a number above 0, got nothing"`);
    expect(await refusal({ rope_scaling: { type: 'yarn', factor: 2, mrope_section: [1] } })).toMatchInlineSnapshot(`"InputError: config.json: rope_scaling.mrope_section: is not known, and might change the result"`);
    expect(await refusal({ rope_scaling: { type: 'yarn', factor: '2' } })).toMatchInlineSnapshot(`"InputError: config.json: rope_scaling.factor: expected a number above 0, got "2""`);
    expect(await refusal({ rope_scaling: { type: 'yarn', rope_type: 'linear', factor: 2 } })).toMatchInlineSnapshot(`"InputError: config.json: rope_scaling.rope_type: "linear" contradicts type "yarn"; expected one of the two"`);
    expect(await refusal({ rope_theta: 1e4, rope_parameters: { rope_type: 'default', rope_theta: 1e6 } })).toMatchInlineSnapshot(`"InputError: config.json: rope_theta: 10000 contradicts rope_parameters.rope_theta 1000000; expected one of the two"`);
    expect(await refusal({ rope_scaling: { type: 'linear', factor: 2 }, rope_parameters: { rope_type: 'default' } })).toMatchInlineSnapshot(`"InputError: config.json: rope_scaling: contradicts rope_parameters; expected one of the two"`);
    expect(await refusal({ rope_scaling: { type: 'yarn', factor: 2 }, original_max_position_embeddings: 16 })).toMatchInlineSnapshot(`"InputError: config.json: original_max_position_embeddings: 16 contradicts rope_scaling (32); expected it inside rope_scaling only"`);
    expect(await refusal({ rope_scaling: 'yarn' })).toMatchInlineSnapshot(`"InputError: config.json: rope_scaling: expected a JSON object, got "yarn""`);
  });
});
