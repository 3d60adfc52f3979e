/**
 * The true FLOPs of a prefill (a multiply-add counts 2), and the bytes of weights.
 *
 * Per layer, S new tokens after P cached ones (H hidden, d head, n_q and n_kv heads, E experts of width I, k per token):
 *
 *     projections  2 S H (n_q + 2 n_kv) d + 2 S n_q d H
 *     attention    4 n_q d (S P + S (S + 1) / 2)
 *     router       2 S H E                             (MoE layers)
 *     experts      6 S k H I                           (MoE layers)
 *     dense        6 S H I_dense                       (other layers)
 *
 * and once, for |C| candidates of the last token: head 2 H |C|.
 *
 * With the last layer's shortcut that layer computes keys and values for all S tokens and the rest for the last R only (the last one, or as many
 * as are scored over the whole vocabulary V, which costs another 2 R H V):
 *
 *     projections  2 S H 2 n_kv d + 2 R H n_q d + 2 R n_q d H
 *     attention    4 n_q d (R (P + S) - R (R - 1) / 2)
 *     router, experts, dense: as above with S = R
 */
import { attentionCost, attentionParameters, visiblePairs } from './attention-cost.ts';
import type { ModelConfig } from './types.ts';

/** One sequence's part of a pass. */
export interface SequenceWork {
  /** S: tokens to compute. */
  readonly newTokens: number;
  /** P: tokens before them whose keys and values are cached; 0 by default. */
  readonly cachedTokens?: number;
  /** |C|: candidates whose logits are asked for; 0 by default. */
  readonly candidates?: number;
  /** Last positions that are scored over the whole vocabulary; 0 by default. */
  readonly scored?: number;
}

export interface FlopsOptions {
  /** Count the last layer as the engine computes it when only last logits are asked for. */
  readonly lastLayerShortcut?: boolean;
}

export interface FlopsByPart {
  readonly projections: number;
  readonly attention: number;
  readonly router: number;
  readonly experts: number;
  readonly dense: number;
  readonly head: number;
}

/** FLOPs of one layer, without the head. */
export function layerFlops(config: ModelConfig, layer: number, work: SequenceWork, lastTokenOnly = false): FlopsByPart {
  const { newTokens: S, cachedTokens: P = 0, scored = 0 } = work;
  const { hiddenSize: H } = config;
  const rows = lastTokenOnly ? Math.min(S, Math.max(1, scored)) : S;
  const moe = config.layerIsMoe[layer] === true;
  const cost = attentionCost(config);
  return {
    projections: S * cost.perKey + P * cost.perCachedKey + rows * cost.perQuery,
    attention: cost.perPair * visiblePairs(config, layer, P + S, rows),
    router: moe ? 2 * rows * H * config.numExperts : 0,
    experts: moe ? 6 * rows * config.numExpertsPerTok * H * config.moeIntermediateSize : 0,
    dense: 6 * rows * H * (moe ? config.variant?.sharedExpertWidth ?? 0 : config.intermediateSize),
    head: 0,
  };
}

/** FLOPs of one sequence through all layers and the head, part by part. */
export function flopsByPart(config: ModelConfig, work: SequenceWork, { lastLayerShortcut = false }: FlopsOptions = {}): FlopsByPart {
  const sum = { projections: 0, attention: 0, router: 0, experts: 0, dense: 0, head: 2 * config.hiddenSize * ((work.candidates ?? 0) + (work.scored ?? 0) * config.vocabSize) };
  const last = config.numHiddenLayers - 1;
  for (let layer = 0; layer <= last; layer++) {
    const parts = layerFlops(config, layer, work, lastLayerShortcut && layer === last);
    for (const part of Object.keys(sum) as (keyof FlopsByPart)[]) sum[part] += parts[part];
  }
  return sum;
}

/** FLOPs of one sequence through all layers and the head. */
export const prefillFlops = (config: ModelConfig, work: SequenceWork, options?: FlopsOptions): number =>
  Object.values(flopsByPart(config, work, options)).reduce((sum, flops) => sum + flops, 0);

/** Bytes of one expert's three matrices (and their biases, where a model has them). */
export const expertWeightBytes = ({ hiddenSize: H, moeIntermediateSize: I, variant }: ModelConfig, bytesPerElement: number): number =>
  (3 * H * I + (variant?.expertBias === true ? 2 * I + H : 0)) * bytesPerElement;

/** Bytes of all experts of one MoE layer: what a gather moves. */
export const layerExpertBytes = (config: ModelConfig, bytesPerElement: number): number =>
  config.numExperts * expertWeightBytes(config, bytesPerElement);

export interface RankWeightBytes {
  /** Embedding, head, norms, attention, routers and dense MLPs: the same on every rank. */
  readonly shared: number;
  /** The rank's own experts of every MoE layer but the first. */
  readonly shard: number;
  /** The complete experts of the first MoE layer. */
  readonly firstLayer: number;
}

/**
 * Bytes of weights that a rank holds under AsyncEP, without slots, padding and workspace.
 * @param ownedExperts how many of each layer's experts are the rank's
 */
export function rankWeightBytes(config: ModelConfig, ownedExperts: number, bytesPerElement: number): RankWeightBytes {
  const moeLayers = config.layerIsMoe.filter(Boolean).length;
  return {
    shared: sharedParameters(config) * bytesPerElement,
    shard: Math.max(0, moeLayers - 1) * ownedExperts * expertWeightBytes(config, bytesPerElement),
    firstLayer: moeLayers > 0 ? layerExpertBytes(config, bytesPerElement) : 0,
  };
}

/** Parameters of everything but experts. */
export function sharedParameters(config: ModelConfig): number {
  const { hiddenSize: H, numExperts: E, variant } = config;
  const moeLayer = H * E + (variant?.routerBias === true ? E : 0) + 3 * H * (variant?.sharedExpertWidth ?? 0);
  const mlps = config.layerIsMoe.reduce((sum, moe) => sum + (moe ? moeLayer : 3 * H * config.intermediateSize), 0);
  return config.numHiddenLayers * (attentionParameters(config) + 2 * H) + mlps + H + (config.tieWordEmbeddings ? 1 : 2) * config.vocabSize * H;
}
