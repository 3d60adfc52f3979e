/**
 * What attention costs, by kind. A multiply-add counts 2.
 *
 *     grouped (GQA)   a token's query and output  4 H n_q d,  its key and value 4 H n_kv d,  a query with a key 4 n_q d
 *     latent (MLA)    a token's query and output  2 (H r_q + r_q n (d_c + d_r) + n d_v H)
 *                     its latent                  2 H (r_kv + d_r)
 *                     key and value out of it     2 r_kv n (d_c + d_v)     once more for a cached token: latents are what a cache keeps
 *                     a query with a key          2 n (d_c + d_r + d_v)
 *
 * The latent kind is counted as a prefill computes it, keys and values written out (DeepSeek-V2, arXiv 2405.04434, section 2.1, and the
 * "naive" attention of DeepSeek-V3's reference code); absorbing the up-projections into queries pays only for few new tokens.
 */
import type { ModelConfig } from './types.ts';

/** FLOPs in one layer. */
export interface AttentionCost {
  /** Of a token that is asked about: its query and its row of the output. */
  readonly perQuery: number;
  /** Of a new token: its key and value. */
  readonly perKey: number;
  /** Of a token whose key and value are cached. */
  readonly perCachedKey: number;
  /** Of a query with a key that it sees: the score and the weighted value. */
  readonly perPair: number;
}

export function attentionCost({ hiddenSize: H, headDim: d, numAttentionHeads: n, numKeyValueHeads: nkv, variant }: ModelConfig): AttentionCost {
  const latent = variant?.latentAttention;
  if (latent === undefined) return { perQuery: 4 * H * n * d, perKey: 4 * H * nkv * d, perCachedKey: 0, perPair: 4 * n * d };
  const { queryRank, keyValueRank, plainHeadDim, rotaryHeadDim, valueHeadDim } = latent;
  const written = 2 * keyValueRank * n * (plainHeadDim + valueHeadDim);
  return {
    perQuery: 2 * (H * queryRank + queryRank * n * (plainHeadDim + rotaryHeadDim) + n * valueHeadDim * H),
    perKey: 2 * H * (keyValueRank + rotaryHeadDim) + written,
    perCachedKey: written,
    perPair: 2 * n * (plainHeadDim + rotaryHeadDim + valueHeadDim),
  };
}

/** Tokens that are seen by the positions 1 to n together, each by at most `window` of the last. */
const seenUpTo = (n: number, window: number): number => (n <= window ? (n * (n + 1)) / 2 : (window * (window + 1)) / 2 + (n - window) * window);

/** Pairs of a query and a key that it sees, for the last `rows` of `tokens` positions. */
export function visiblePairs({ variant }: ModelConfig, layer: number, tokens: number, rows: number): number {
  const sliding = variant?.slidingWindow;
  const window = sliding?.layers[layer] === true ? sliding.tokens : Infinity;
  return seenUpTo(tokens, window) - seenUpTo(tokens - rows, window);
}

/** Parameters of one layer's attention, without the norm before it. */
export function attentionParameters({ hiddenSize: H, headDim: d, numAttentionHeads: n, numKeyValueHeads: nkv, attentionBias, variant }: ModelConfig): number {
  const latent = variant?.latentAttention;
  const sinks = variant?.attentionSinks === true ? n : 0;
  if (latent !== undefined) {
    const { queryRank, keyValueRank, plainHeadDim, rotaryHeadDim, valueHeadDim } = latent;
    const query = H * queryRank + queryRank + queryRank * n * (plainHeadDim + rotaryHeadDim);
    const keyValue = H * (keyValueRank + rotaryHeadDim) + keyValueRank + keyValueRank * n * (plainHeadDim + valueHeadDim);
    return query + keyValue + n * valueHeadDim * H + sinks;
  }
  const norms = variant?.queryKeyNorms === false ? 0 : 2 * d;
  return 2 * H * (n + nkv) * d + norms + (attentionBias ? (n + 2 * nkv) * d + H : 0) + sinks;
}

/** Numbers that a cache keeps of one token in one layer: its key and value, or their latent. */
export function cachedNumbers({ headDim, numKeyValueHeads, variant }: ModelConfig): number {
  const latent = variant?.latentAttention;
  return latent === undefined ? 2 * numKeyValueHeads * headDim : latent.keyValueRank + latent.rotaryHeadDim;
}
