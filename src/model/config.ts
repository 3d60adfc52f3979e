/**
 * `config.json` of a Qwen3MoeForCausalLM folder. Every field that changes the result is honoured or refused by name;
 * absent fields have the defaults of transformers' Qwen3MoeConfig (the same in versions 4 and 5).
 */
import * as z from 'zod';
import { InputError } from '../errors.ts';
import { field, isNumber, parseWith } from './fields.ts';
import { type ModelFiles, parseJson, requiredText, show, sourceOf } from './files.ts';
import { parseRope } from './rope-config.ts';
import type { ModelConfig, StoredDtype } from './types.ts';

const ARCHITECTURE = 'Qwen3MoeForCausalLM';
const DTYPES: Readonly<Record<string, StoredDtype>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' };

const positiveInteger = field<number>('a positive integer', (value) => Number.isInteger(value) && (value as number) > 0);
const count = (byDefault: number) => positiveInteger.default(byDefault);
const flag = (byDefault: boolean) => field<boolean>('true or false', (value) => typeof value === 'boolean').default(byDefault);
const only = (expected: string, test: (value: unknown) => boolean) => field<unknown>(expected, test).optional();
const dtypeField = field<string | null>('"float32", "float16" or "bfloat16"',
  (value) => value === null || (typeof value === 'string' && Object.hasOwn(DTYPES, value.replace(/^torch\./, '')))).optional();
const oneOrNull = (value: unknown): boolean => value === null || value === 1;

const configSchema = z.object({
  model_type: field<string>('"qwen3_moe"', (value) => value === 'qwen3_moe'),
  architectures: only(`["${ARCHITECTURE}"]`, (value) => value === null || (Array.isArray(value) && value.length === 1 && value[0] === ARCHITECTURE)),
  quantization_config: only('none (quantised checkpoints are not supported)', (value) => value === null),
  hidden_act: only('"silu"', (value) => value === 'silu'),
  use_sliding_window: only('false (sliding windows are not supported)', (value) => value === false || value === null),
  layer_types: only('"full_attention" for every layer',
    (value) => value === null || (Array.isArray(value) && value.every((type) => type === 'full_attention'))),
  partial_rotary_factor: only('1 (partial rotation is not supported)', oneOrNull),
  vocab_size: count(151936),
  hidden_size: count(2048),
  intermediate_size: count(6144),
  num_hidden_layers: count(24),
  num_attention_heads: count(32),
  num_key_value_heads: count(4),
  head_dim: field<number | null>('a positive even integer, or null',
    (value) => value === null || (Number.isInteger(value) && (value as number) > 0 && (value as number) % 2 === 0)).optional(),
  moe_intermediate_size: count(768),
  // transformers 5 keeps the number of experts under another name and may write either.
  num_experts: positiveInteger.optional(),
  num_local_experts: positiveInteger.optional(),
  num_experts_per_tok: count(8),
  norm_topk_prob: flag(false),
  mlp_only_layers: field<number[] | null>('a list of layer numbers, or null',
    (value) => value === null || (Array.isArray(value) && value.every(Number.isInteger))).optional(),
  decoder_sparse_step: count(1),
  rms_norm_eps: field<number>('a number above 0', (value) => isNumber(value) && value > 0).default(1e-6),
  attention_bias: flag(false),
  tie_word_embeddings: flag(false),
  max_position_embeddings: count(32768),
  rope_theta: field<number>('a number above 1', (value) => isNumber(value) && value > 1).optional(),
  rope_scaling: z.unknown().optional(),
  rope_parameters: z.unknown().optional(),
  original_max_position_embeddings: z.unknown().optional(),
  dtype: dtypeField,
  torch_dtype: dtypeField,
});
type ConfigFields = z.infer<typeof configSchema>;

/** Reads and checks `config.json` of a model folder. */
export async function readConfig(files: ModelFiles): Promise<ModelConfig> {
  const text = await requiredText(files, 'config.json', 'expected a Hugging Face model folder');
  const source = sourceOf(files, 'config.json');
  return parseConfig(parseJson(text, source), source);
}

/**
 * Checks and normalises the contents of `config.json`.
 * @param source what messages call it
 * @throws InputError naming the field
 */
export function parseConfig(json: unknown, source = 'config.json'): ModelConfig {
  const raw = parseWith(configSchema, json, source);
  const { theta, scaling } = parseRope(raw, source);
  const config: ModelConfig = {
    vocabSize: raw.vocab_size,
    hiddenSize: raw.hidden_size,
    numHiddenLayers: raw.num_hidden_layers,
    numAttentionHeads: raw.num_attention_heads,
    numKeyValueHeads: raw.num_key_value_heads,
    headDim: raw.head_dim ?? Math.floor(raw.hidden_size / raw.num_attention_heads),
    intermediateSize: raw.intermediate_size,
    moeIntermediateSize: raw.moe_intermediate_size,
    numExperts: numExperts(raw, source),
    numExpertsPerTok: raw.num_experts_per_tok,
    normTopkProb: raw.norm_topk_prob,
    rmsNormEps: raw.rms_norm_eps,
    ropeTheta: theta,
    ropeScaling: scaling,
    attentionBias: raw.attention_bias,
    tieWordEmbeddings: raw.tie_word_embeddings,
    maxPositionEmbeddings: raw.max_position_embeddings,
    layerIsMoe: layerIsMoe(raw),
    dtype: storedDtype(raw, source),
  };
  checkTogether(config, source);
  return config;
}

/** `mlp_only_layers` are dense, and of the others every `decoder_sparse_step`-th is MoE (Qwen3MoeDecoderLayer). */
const layerIsMoe = (raw: ConfigFields): boolean[] =>
  Array.from({ length: raw.num_hidden_layers }, (_, layer) =>
    !(raw.mlp_only_layers ?? []).includes(layer) && (layer + 1) % raw.decoder_sparse_step === 0);

function numExperts(raw: ConfigFields, source: string): number {
  const { num_experts: one, num_local_experts: other } = raw;
  if (one !== undefined && other !== undefined && one !== other) {
    throw new InputError(source, 'num_experts', `${one} contradicts num_local_experts ${other}; expected one of the two`);
  }
  return one ?? other ?? 128;
}

function storedDtype(raw: ConfigFields, source: string): StoredDtype {
  if (raw.dtype != null && raw.torch_dtype != null && raw.dtype !== raw.torch_dtype) {
    throw new InputError(source, 'dtype', `${show(raw.dtype)} contradicts torch_dtype ${show(raw.torch_dtype)}; expected one of the two`);
  }
  return DTYPES[(raw.dtype ?? raw.torch_dtype ?? 'float32').replace(/^torch\./, '')]!;
}

/** What the fields must be to each other. */
function checkTogether(config: ModelConfig, source: string): void {
  const refuse = (name: string, problem: string): never => { throw new InputError(source, name, problem); };
  if (config.numAttentionHeads % config.numKeyValueHeads !== 0) {
    refuse('num_key_value_heads', `expected a divisor of num_attention_heads ${config.numAttentionHeads}, got ${config.numKeyValueHeads}`);
  }
  if (config.headDim < 2 || config.headDim % 2 !== 0) {
    refuse('head_dim', `expected a positive even integer, got ${config.headDim} (hidden_size / num_attention_heads)`);
  }
  if (config.numExpertsPerTok > config.numExperts) {
    refuse('num_experts_per_tok', `expected at most num_experts ${config.numExperts}, got ${config.numExpertsPerTok}`);
  }
  if (!config.layerIsMoe.includes(true)) {
    refuse('mlp_only_layers', 'with decoder_sparse_step leaves no mixture-of-experts layer; expected at least one');
  }
}
