/** Causal attention of one sequence over its own keys, in blocks of 16 tokens. */
import type { GpuDevice } from '../../src/runtime/device.ts';
import { attention, BLOCK_TOKENS } from '../../src/runtime/kernels/attention.ts';
import { attentionRows, type AttentionShape, type OperandDtype } from '../../src/runtime/plan.ts';
import { randomValues, relativeError, sampled, storage, storedAs, uploaded } from '../operands.ts';
import { unpackRows } from '../../src/runtime/layout.ts';
import type { KernelCase } from './matmul.ts';

export interface AttentionVariant {
  readonly shape: AttentionShape;
  readonly type: OperandDtype;
  readonly why: string;
}

export interface AttentionSize {
  readonly tokens: number;
  readonly heads: number;
  readonly headDim: number;
}

const attentionName = ({ shape, type }: AttentionVariant): string => (shape.kind === 'tiled' ? `tiled ${type}` : `broadcast ${shape.QB}q ${shape.KT}k ${type}`);

/** Element (token, head, e) of keys or values: [block][head][2 panels][d / 8][8 tokens][8]. */
const cellIndex = (heads: number, d: number, token: number, head: number, e: number): number => {
  const inBlock = token % BLOCK_TOKENS;
  const block = Math.floor(token / BLOCK_TOKENS) * heads + head;
  return block * BLOCK_TOKENS * d + (inBlock >> 3) * d * 8 + (e >> 3) * 64 + (inBlock & 7) * 8 + (e & 7);
};

export function attentionCases(gpu: GpuDevice, variants: readonly AttentionVariant[], { tokens, heads, headDim: d }: AttentionSize): KernelCase[] {
  const blocks = Math.ceil(tokens / BLOCK_TOKENS);
  const blockTable = uploaded(gpu, Uint32Array.from({ length: blocks }, (_, i) => i));
  return variants.map((variant) => {
    const { shape, type, why } = variant;
    const q = randomValues(tokens * heads * d, type, 11);
    const keys = randomValues(blocks * BLOCK_TOKENS * heads * d, type, 12);
    const values = randomValues(blocks * BLOCK_TOKENS * heads * d, type, 13);
    const upload = (x: Float32Array): GPUBuffer => uploaded(gpu, storedAs(x, type));
    const rows = attentionRows(shape);
    const tiles = Array.from({ length: Math.ceil(tokens / rows) }, (_, i) => [i * rows, Math.min(rows, tokens - i * rows), i * rows, 0]).flat();
    const out = storage(gpu, Math.ceil(tokens / 8) * 8 * heads * d * (type === 'f32' ? 4 : 2));
    const op = {
      shape, headDim: d, queryHeads: heads, kvHeads: heads, type, q: upload(q), kv: { keys: upload(keys), values: upload(values) },
      tiles: uploaded(gpu, Uint32Array.from(tiles)), tileCount: tiles.length / 4, blockTable, out,
    };
    /** softmax over the keys up to `token`, in float64; q is taken as already scaled. */
    const oracle = (token: number, head: number): Float64Array => {
      const scores = Float64Array.from({ length: token + 1 }, (_, j) => {
        let sum = 0;
        for (let e = 0; e < d; e++) sum += q[(token * heads + head) * d + e]! * keys[cellIndex(heads, d, j, head, e)]!;
        return sum;
      });
      const top = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - top));
      const total = weights.reduce((sum, w) => sum + w, 0);
      return Float64Array.from({ length: d }, (_, e) => weights.reduce((sum, w, j) => sum + w * values[cellIndex(heads, d, j, head, e)]!, 0) / total);
    };
    return {
      name: attentionName(variant), why, flops: 4 * heads * d * ((tokens * (tokens + 1)) / 2),
      record: (recorder) => attention(gpu, recorder, op),
      async check() {
        const got = unpackRows(new Uint8Array(await gpu.read(out)), tokens, heads * d, type);
        return relativeError(sampled(16, tokens * heads, 14).flatMap((at) => {
          const [token, head] = [Math.floor(at / heads), at % heads];
          return [...oracle(token, head)].map((expected, e) => [got[(token * heads + head) * d + e]!, expected] as const);
        }));
      },
    };
  });
}
