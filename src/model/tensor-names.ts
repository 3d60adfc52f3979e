/** The tensors of a Qwen3MoeForCausalLM checkpoint: Hugging Face names and shapes. */
import type { ModelConfig } from './types.ts';

/** What a checkpoint must hold under a name. */
export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

export const EMBEDDING = 'model.embed_tokens.weight';
export const HEAD = 'lm_head.weight';
export const FINAL_NORM = 'model.norm.weight';

export const expertName = (layer: number, expert: number, part: 'gate' | 'up' | 'down'): string =>
  `model.layers.${layer}.mlp.experts.${expert}.${part}_proj.weight`;
/** All gate and up projections of a layer: [E, 2I, H], of each expert first gate, then up. Written by transformers 5. */
export const fusedGateUpName = (layer: number): string => `model.layers.${layer}.mlp.experts.gate_up_proj`;
/** All down projections of a layer: [E, H, I]. */
export const fusedDownName = (layer: number): string => `model.layers.${layer}.mlp.experts.down_proj`;

export const embeddingSpec = (config: ModelConfig): TensorSpec =>
  ({ name: EMBEDDING, shape: [config.vocabSize, config.hiddenSize] });
/** The head's own tensor; a tied model has none. */
export const headSpec = (config: ModelConfig): TensorSpec =>
  ({ name: HEAD, shape: [config.vocabSize, config.hiddenSize] });
export const finalNormSpec = (config: ModelConfig): TensorSpec => ({ name: FINAL_NORM, shape: [config.hiddenSize] });

/** The parts of a layer that every rank holds, keyed as in LayerWeights, without a dense layer's MLP. */
export function layerSpecs(config: ModelConfig, layer: number): Record<string, TensorSpec> {
  const { hiddenSize: hidden, headDim } = config;
  const queries = config.numAttentionHeads * headDim;
  const keys = config.numKeyValueHeads * headDim;
  const spec = (name: string, ...shape: number[]): TensorSpec => ({ name: `model.layers.${layer}.${name}`, shape });
  return {
    inputNorm: spec('input_layernorm.weight', hidden),
    qProj: spec('self_attn.q_proj.weight', queries, hidden),
    kProj: spec('self_attn.k_proj.weight', keys, hidden),
    vProj: spec('self_attn.v_proj.weight', keys, hidden),
    oProj: spec('self_attn.o_proj.weight', hidden, queries),
    ...(config.attentionBias && {
      qBias: spec('self_attn.q_proj.bias', queries),
      kBias: spec('self_attn.k_proj.bias', keys),
      vBias: spec('self_attn.v_proj.bias', keys),
      oBias: spec('self_attn.o_proj.bias', hidden),
    }),
    qNorm: spec('self_attn.q_norm.weight', headDim),
    kNorm: spec('self_attn.k_norm.weight', headDim),
    postAttentionNorm: spec('post_attention_layernorm.weight', hidden),
    ...(config.layerIsMoe[layer] && { router: spec('mlp.gate.weight', config.numExperts, hidden) }),
  };
}

export interface MlpSpecs {
  readonly gate: TensorSpec;
  readonly up: TensorSpec;
  readonly down: TensorSpec;
}

/** The MLP of a dense layer. */
export const denseSpecs = (config: ModelConfig, layer: number): MlpSpecs =>
  mlpSpecs((part) => `model.layers.${layer}.mlp.${part}_proj.weight`, config.hiddenSize, config.intermediateSize);

/** One expert, stored by itself. */
export const expertSpecs = (config: ModelConfig, layer: number, expert: number): MlpSpecs =>
  mlpSpecs((part) => expertName(layer, expert, part), config.hiddenSize, config.moeIntermediateSize);

const mlpSpecs = (name: (part: 'gate' | 'up' | 'down') => string, hidden: number, width: number): MlpSpecs => ({
  gate: { name: name('gate'), shape: [width, hidden] },
  up: { name: name('up'), shape: [width, hidden] },
  down: { name: name('down'), shape: [hidden, width] },
});

/** A layer's experts, stored together. */
export function fusedSpecs(config: ModelConfig, layer: number): { gateUp: TensorSpec; down: TensorSpec } {
  const { numExperts, hiddenSize, moeIntermediateSize: width } = config;
  return {
    gateUp: { name: fusedGateUpName(layer), shape: [numExperts, 2 * width, hiddenSize] },
    down: { name: fusedDownName(layer), shape: [numExperts, hiddenSize, width] },
  };
}
