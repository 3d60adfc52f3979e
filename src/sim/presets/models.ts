/**
 * Published mixture-of-experts models, as far as FLOPs and bytes depend on them. Qwen3's are the presets that can be run (src/model/presets.ts);
 * of the others the dimensions are those of their config.json, and what the engine cannot do is said in `runs`.
 */
import { InputError } from '../../errors.ts';
import { attentionParameters } from '../../model/attention-cost.ts';
import { expertWeightBytes, sharedParameters } from '../../model/flops.ts';
import { presetConfig } from '../../model/presets.ts';
import type { ModelConfig, ModelVariant } from '../../model/types.ts';

export interface ModelPreset {
  readonly name: string;
  readonly title: string;
  readonly config: ModelConfig;
  /** Where the dimensions are from. */
  readonly source: string;
  /** null: the engine runs it; otherwise why it cannot. */
  readonly cannotRun: string | null;
  readonly published: {
    readonly totalParameters: number;
    /** Of one token. */
    readonly activeParameters: number;
    /** Whether the rows of the embedding are counted among the active ones. */
    readonly countsEmbedding: boolean;
    readonly source: string;
  };
}

/** What Qwen3's family has, and models that are counted only do not depend on. */
const COUNTED = {
  normTopkProb: true, rmsNormEps: 1e-5, ropeTheta: 1_000_000, ropeScaling: null, attentionBias: false, tieWordEmbeddings: false, dtype: 'BF16',
} as const;

const NO_EXTRAS: ModelVariant = { sharedExpertWidth: 0, queryKeyNorms: false, expertBias: false, routerBias: false, attentionSinks: false };

const layers = (count: number, test: (layer: number) => boolean): boolean[] => Array.from({ length: count }, (_, layer) => test(layer));

const MIXTRAL: ModelConfig = {
  ...COUNTED, vocabSize: 32_000, hiddenSize: 4096, numHiddenLayers: 32, numAttentionHeads: 32, numKeyValueHeads: 8, headDim: 128,
  intermediateSize: 14_336, moeIntermediateSize: 14_336, numExperts: 8, numExpertsPerTok: 2, maxPositionEmbeddings: 32_768,
  layerIsMoe: layers(32, () => true), variant: NO_EXTRAS,
};

const GPT_OSS_LAYERS = 36;
const GPT_OSS: ModelConfig = {
  ...COUNTED, vocabSize: 201_088, hiddenSize: 2880, numHiddenLayers: GPT_OSS_LAYERS, numAttentionHeads: 64, numKeyValueHeads: 8, headDim: 64,
  intermediateSize: 2880, moeIntermediateSize: 2880, numExperts: 128, numExpertsPerTok: 4, ropeTheta: 150_000, attentionBias: true,
  maxPositionEmbeddings: 131_072, layerIsMoe: layers(GPT_OSS_LAYERS, () => true),
  variant: {
    ...NO_EXTRAS, expertBias: true, routerBias: true, attentionSinks: true,
    slidingWindow: { tokens: 128, layers: layers(GPT_OSS_LAYERS, (layer) => layer % 2 === 0) },
  },
};

const DEEPSEEK_LAYERS = 61;
const FIRST_DENSE_LAYERS = 3;
/** `headDim` is that of queries and keys, rotary part included; routing by groups changes no FLOPs. Multi-token prediction is left out, as in a prefill. */
const DEEPSEEK_V3: ModelConfig = {
  ...COUNTED, vocabSize: 129_280, hiddenSize: 7168, numHiddenLayers: DEEPSEEK_LAYERS, numAttentionHeads: 128, numKeyValueHeads: 128, headDim: 192,
  intermediateSize: 18_432, moeIntermediateSize: 2048, numExperts: 256, numExpertsPerTok: 8, ropeTheta: 10_000, maxPositionEmbeddings: 163_840,
  layerIsMoe: layers(DEEPSEEK_LAYERS, (layer) => layer >= FIRST_DENSE_LAYERS),
  variant: {
    ...NO_EXTRAS, sharedExpertWidth: 2048, routerBias: true,
    latentAttention: { queryRank: 1536, keyValueRank: 512, plainHeadDim: 128, rotaryHeadDim: 64, valueHeadDim: 128 },
  },
};

const configOf = (repository: string): string => `config.json, https://huggingface.co/${repository}/blob/main/config.json`;

export const MODEL_PRESETS: readonly ModelPreset[] = [
  {
    name: 'qwen3-30b-a3b', title: 'Qwen3-30B-A3B', config: presetConfig('qwen3-30b-a3b'), source: configOf('Qwen/Qwen3-30B-A3B'), cannotRun: null,
    published: { totalParameters: 30.5e9, activeParameters: 3.3e9, countsEmbedding: true, source: 'model card, https://huggingface.co/Qwen/Qwen3-30B-A3B' },
  },
  {
    name: 'qwen3-235b-a22b', title: 'Qwen3-235B-A22B', config: presetConfig('qwen3-235b-a22b'), source: configOf('Qwen/Qwen3-235B-A22B'), cannotRun: null,
    published: { totalParameters: 235e9, activeParameters: 22e9, countsEmbedding: true, source: 'model card, https://huggingface.co/Qwen/Qwen3-235B-A22B' },
  },
  {
    name: 'mixtral-8x7b', title: 'Mixtral-8x7B', config: MIXTRAL, source: configOf('mistralai/Mixtral-8x7B-v0.1'),
    cannotRun: 'its tensors have other names and no norms of queries and keys (MixtralForCausalLM)',
    published: { totalParameters: 46.7e9, activeParameters: 12.9e9, countsEmbedding: true, source: 'Mixtral of experts, https://mistral.ai/news/mixtral-of-experts' },
  },
  {
    name: 'gpt-oss-120b', title: 'gpt-oss-120b', config: GPT_OSS, source: configOf('openai/gpt-oss-120b'),
    cannotRun: 'sliding windows, attention sinks, biases of experts and a clamped SwiGLU (GptOssForCausalLM)',
    published: { totalParameters: 116.8e9, activeParameters: 5.1e9, countsEmbedding: false, source: 'gpt-oss model card, table 1, https://arxiv.org/abs/2508.10925' },
  },
  {
    name: 'deepseek-v3', title: 'DeepSeek-V3', config: DEEPSEEK_V3, source: configOf('deepseek-ai/DeepSeek-V3'),
    cannotRun: 'latent attention (MLA), a shared expert and routing by groups (DeepseekV3ForCausalLM)',
    published: { totalParameters: 671e9, activeParameters: 37e9, countsEmbedding: false, source: 'DeepSeek-V3 technical report, https://arxiv.org/abs/2412.19437; the repository\'s README_WEIGHTS.md: 36.6B, the head included' },
  },
];
export const modelPresetNames: readonly string[] = MODEL_PRESETS.map(({ name }) => name);

/** @throws InputError for a name that is none of {@link modelPresetNames} */
export function modelPreset(name: string): ModelPreset {
  const preset = MODEL_PRESETS.find((known) => known.name === name);
  if (preset === undefined) throw new InputError('--model', name, `is unknown; expected ${modelPresetNames.join(', ')}`);
  return preset;
}

/** Parameters of all experts that tokens choose from. */
const expertParameters = (config: ModelConfig): number => config.layerIsMoe.filter(Boolean).length * config.numExperts * expertWeightBytes(config, 1);

export interface Parameters {
  readonly total: number;
  /** That one token goes through, without the embedding's rows. */
  readonly active: number;
  /** Embedding [V, H]; 0 where it is the head's. */
  readonly embedding: number;
  readonly attention: number;
  readonly experts: number;
}

/** Counted from the dimensions. */
export function countParameters(config: ModelConfig): Parameters {
  const [shared, experts] = [sharedParameters(config), expertParameters(config)];
  const embedding = config.tieWordEmbeddings ? 0 : config.vocabSize * config.hiddenSize;
  return {
    total: shared + experts, experts, embedding,
    active: shared - embedding + (experts * config.numExpertsPerTok) / config.numExperts,
    attention: config.numHiddenLayers * attentionParameters(config),
  };
}
