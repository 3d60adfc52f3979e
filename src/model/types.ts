/** What a checkpoint is, as the rest of the program sees it. */

/** Element type as stored in a checkpoint (safetensors names). */
export type StoredDtype = 'F32' | 'F16' | 'BF16';

/** A tensor as stored: row-major, little endian. */
export interface RawTensor {
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Rotary scaling that we honour; every other kind is refused by name. */
export type RopeScaling =
  | { readonly kind: 'linear'; readonly factor: number }
  | {
      readonly kind: 'yarn';
      readonly factor: number;
      readonly originalMaxPositionEmbeddings: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly truncate: boolean;
      /** Multiplies cos and sin; already resolved from attention_factor, mscale and mscale_all_dim. */
      readonly attentionFactor: number;
    };

/** `config.json` of a Qwen3MoeForCausalLM folder, checked and normalised. */
export interface ModelConfig {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  /** Width of the dense MLP (layers that are not MoE). */
  readonly intermediateSize: number;
  /** Width of one expert. */
  readonly moeIntermediateSize: number;
  readonly numExperts: number;
  /** Experts per token (top-k). */
  readonly numExpertsPerTok: number;
  readonly normTopkProb: boolean;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling | null;
  readonly attentionBias: boolean;
  readonly tieWordEmbeddings: boolean;
  readonly maxPositionEmbeddings: number;
  /** Per layer: true = MoE, false = dense MLP (`mlp_only_layers`, `decoder_sparse_step`). */
  readonly layerIsMoe: readonly boolean[];
  /** Element type of the checkpoint's weights. */
  readonly dtype: StoredDtype;
  /** Where a published shape is not of this family: for plans, which count its FLOPs and bytes. Nothing that runs has it. */
  readonly variant?: ModelVariant;
}

/** Attention through a latent of keys and values (MLA; DeepSeek-V2, arXiv 2405.04434, section 2.1). */
export interface LatentAttention {
  readonly queryRank: number;
  readonly keyValueRank: number;
  /** Width of a head's query and key without, and with, a rotary embedding; the rotary key is one for all heads. */
  readonly plainHeadDim: number;
  readonly rotaryHeadDim: number;
  readonly valueHeadDim: number;
}

/** How a mixture-of-experts model differs from Qwen3's, as far as FLOPs and bytes change. */
export interface ModelVariant {
  readonly latentAttention?: LatentAttention;
  /** Layers whose tokens see the last `tokens` positions only, their own included. */
  readonly slidingWindow?: { readonly tokens: number; readonly layers: readonly boolean[] };
  /** Width of all experts together that every token goes through, beside the chosen ones; 0: none. */
  readonly sharedExpertWidth: number;
  /** Norms of queries and keys, as Qwen3 has them. */
  readonly queryKeyNorms: boolean;
  /** A bias for each expert's gate, up and down, and one for each row of the router. */
  readonly expertBias: boolean;
  readonly routerBias: boolean;
  /** One number for each query head, in the denominator of its softmax. */
  readonly attentionSinks: boolean;
}

/** One expert, or the MLP of a dense layer: gate and up [I, H], down [H, I]. */
export interface MlpWeights {
  readonly gate: RawTensor;
  readonly up: RawTensor;
  readonly down: RawTensor;
}

/** Weights of one layer that every rank holds. Shapes as in Hugging Face: [out, in]. */
export interface LayerWeights {
  /** [H] */
  readonly inputNorm: RawTensor;
  /** [n_q d, H] */
  readonly qProj: RawTensor;
  /** [n_kv d, H] */
  readonly kProj: RawTensor;
  /** [n_kv d, H] */
  readonly vProj: RawTensor;
  /** [H, n_q d] */
  readonly oProj: RawTensor;
  /** Present when `attentionBias`. */
  readonly qBias?: RawTensor;
  readonly kBias?: RawTensor;
  readonly vBias?: RawTensor;
  readonly oBias?: RawTensor;
  /** [d] */
  readonly qNorm: RawTensor;
  /** [d] */
  readonly kNorm: RawTensor;
  /** [H] */
  readonly postAttentionNorm: RawTensor;
  /** [E, H]; present in MoE layers. */
  readonly router?: RawTensor;
  /** Present in dense layers. */
  readonly mlp?: MlpWeights;
}

/**
 * Where weights come from: a checkpoint folder, or a seeded generator. Nothing is cached by the source:
 * each call reads anew, so that a caller decides what is held in memory.
 */
export interface ModelWeights {
  readonly config: ModelConfig;
  /** Hex digest that names these weights: equal exactly when every rank would read the same numbers. */
  readonly modelHash: string;
  /** Rows [start, start + count) of the embedding [V, H]. */
  embeddingRows(start: number, count: number): Promise<RawTensor>;
  /** Rows of the head [V, H] (the embedding's when tied). */
  headRows(start: number, count: number): Promise<RawTensor>;
  /** [H] */
  finalNorm(): Promise<RawTensor>;
  layer(layer: number): Promise<LayerWeights>;
  /** One expert of a MoE layer, read from the file alone. */
  expert(layer: number, expert: number): Promise<MlpWeights>;
  close(): Promise<void>;
}
