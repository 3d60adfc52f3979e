/** Reference of rotary embedding and causal attention over blocks of keys and values. */
import { rmsNormRow } from './rows.ts';
import { dot, softmax } from './tensor.ts';

/**
 * Per-head RMSNorm, then rotation by the angles of a position: x cos + rotate_half(x) sin, where dimensions i and i + d/2 turn together
 * (transformers, `Qwen3MoeAttention` and `apply_rotary_pos_emb`).
 * @param cos d/2 cosines; `sin` likewise
 */
export function normAndRotate(head: Float64Array, norm: Float64Array, eps: number, cos: Float64Array, sin: Float64Array): Float64Array {
  const x = rmsNormRow(head, norm, eps);
  const half = x.length / 2;
  return x.map((v, i) => {
    const pair = i % half;
    const other = i < half ? -x[i + half]! : x[i - half]!;
    return v * cos[pair]! + other * sin[pair]!;
  });
}

/** New tokens of one sequence, after tokens whose keys and values are cached. */
export interface Sequence {
  /** Row of its first new token in q. */
  readonly firstRow: number;
  readonly rows: number;
  /** Tokens before the first new one. */
  readonly prefix: number;
  /** Block of tokens 0-15, of tokens 16-31, ... */
  readonly blocks: readonly number[];
}

export interface AttentionInput {
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly blockTokens: number;
  /** [tokens, queryHeads, headDim], already divided by sqrt(headDim). */
  readonly q: Float64Array;
  /** [block * blockTokens + offset, kvHeads, headDim] */
  readonly keys: Float64Array;
  readonly values: Float64Array;
  readonly sequences: readonly Sequence[];
}

/** out[t, h] = sum_j softmax_j(q[t, h] . k[j, g]) v[j, g] over all j up to t's position; g = floor(h / (queryHeads / kvHeads)). */
export function causalAttention(input: AttentionInput): Float64Array {
  const out = new Float64Array(input.q.length);
  for (const sequence of input.sequences) {
    for (let r = 0; r < sequence.rows; r++) {
      for (let h = 0; h < input.queryHeads; h++) {
        out.set(attendOne(input, sequence, r, h), ((sequence.firstRow + r) * input.queryHeads + h) * input.headDim);
      }
    }
  }
  return out;
}

function attendOne(input: AttentionInput, sequence: Sequence, r: number, head: number): Float64Array {
  const { queryHeads, kvHeads, headDim, blockTokens } = input;
  const kvHead = Math.floor(head / (queryHeads / kvHeads));
  const headAt = (cache: Float64Array, token: number): Float64Array => {
    const slot = sequence.blocks[Math.floor(token / blockTokens)]! * blockTokens + (token % blockTokens);
    return cache.subarray((slot * kvHeads + kvHead) * headDim, (slot * kvHeads + kvHead + 1) * headDim);
  };
  const at = ((sequence.firstRow + r) * queryHeads + head) * headDim;
  const query = input.q.subarray(at, at + headDim);
  const seen = sequence.prefix + r + 1;
  const weights = softmax(Float64Array.from({ length: seen }, (_, token) => dot(query, headAt(input.keys, token))));
  const out = new Float64Array(headDim);
  weights.forEach((weight, token) => headAt(input.values, token).forEach((v, i) => { out[i]! += weight * v; }));
  return out;
}
