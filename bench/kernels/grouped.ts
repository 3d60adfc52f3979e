/** Grouped products: each of the rows, sorted by expert, times the matrix of its own expert: llama.cpp's MUL_MAT_ID. */
import type { GpuDevice } from '../../src/runtime/device.ts';
import { groupedMatmul, type ExpertBank, type ExpertTiles } from '../../src/runtime/kernels/matmul.ts';
import { packedBytes, type PackedDtype } from '../../src/runtime/layout.ts';
import { tileRows, type MatmulShape } from '../../src/runtime/plan.ts';
import { dot, packed, packedOperand, randomSource, randomValues, relativeError, sampled, storage, storedAs, uploaded } from '../operands.ts';
import { variantName, type KernelCase, type Variant } from './matmul.ts';

export interface GroupedShape {
  readonly experts: number;
  /** Experts that a token uses. */
  readonly used: number;
  readonly tokens: number;
  /** Output columns. */
  readonly m: number;
  readonly k: number;
}

/** Rows of each expert when every token draws `used` different ones at random: they vary as they do in a model. */
export function expertRows({ experts, used, tokens }: GroupedShape): Uint32Array {
  const next = randomSource(5);
  const rows = new Uint32Array(experts);
  for (let token = 0; token < tokens; token++) {
    const chosen = new Set<number>();
    while (chosen.size < used) chosen.add(Math.floor(next() * experts));
    for (const expert of chosen) rows[expert]!++;
  }
  return rows;
}

/** What the expert sort would leave on the device. */
export function expertTiles(gpu: GpuDevice, rows: Uint32Array, shape: MatmulShape): ExpertTiles {
  const most = tileRows(shape);
  const tiles: number[] = [];
  const tileBase = [0];
  let start = 0;
  rows.forEach((count, expert) => {
    for (let at = 0; at < count; at += most) tiles.push(expert, start + at, Math.min(most, count - at), 0);
    start += count;
    tileBase.push(tiles.length / 4);
  });
  return { tiles: uploaded(gpu, Uint32Array.from(tiles)), tileBase: uploaded(gpu, Uint32Array.from(tileBase)), maxTiles: tiles.length / 4 };
}

/** Expert e's weights are a window into one pool of random values, shifted by e rows' worth of a prime: known without being stored. */
const SHIFT = 61;

interface Weights {
  readonly pool: Float32Array;
  readonly banks: readonly ExpertBank[];
}

function expertWeights(gpu: GpuDevice, { experts, m, k }: GroupedShape, dtype: PackedDtype): Weights {
  const pool = randomValues(m * k + experts * SHIFT, dtype, 6);
  const bytesOfPool = storedAs(pool, dtype);
  const width = dtype === 'f32' ? 4 : 2;
  const expertBytes = packedBytes(m, k, dtype);
  const perBank = Math.min(experts, Math.floor(gpu.maxBindingBytes / expertBytes));
  const banks: ExpertBank[] = [];
  for (let firstExpert = 0; firstExpert < experts; firstExpert += perBank) {
    const count = Math.min(perBank, experts - firstExpert);
    const buffer = storage(gpu, count * expertBytes);
    for (let i = 0; i < count; i++) {
      const from = (firstExpert + i) * SHIFT * width;
      gpu.upload(buffer, packed(bytesOfPool.slice(from, from + m * k * width), m, k, dtype), i * expertBytes);
    }
    banks.push({ buffer, firstExpert, experts: count, expertBytes });
  }
  return { pool, banks };
}

export function groupedCases(gpu: GpuDevice, variants: readonly Variant[], shape: GroupedShape): KernelCase[] {
  const { tokens, used, m, k } = shape;
  const total = tokens * used;
  const rows = expertRows(shape);
  const out = storage(gpu, total * m * 4);
  const owner = Uint32Array.from([...rows].flatMap((count, expert) => Array.from({ length: count }, () => expert)));
  const weights = new Map<PackedDtype, Weights>();
  return variants.map((variant) => {
    const { aType, bType, why } = variant;
    const values = randomValues(total * k, aType, 7);
    const a = packedOperand(gpu, values, total, k, aType);
    const { pool, banks } = weights.get(bType) ?? expertWeights(gpu, shape, bType);
    weights.set(bType, { pool, banks });
    const sorted = expertTiles(gpu, rows, variant.shape);
    return {
      name: variantName(variant), why, flops: 2 * total * m * k,
      record: (recorder) => groupedMatmul(gpu, recorder, { shape: variant.shape, a, aType, bType, banks, sorted, k, columns: m, matrixOffset: 0, out }),
      async check() {
        const got = new Float32Array(await gpu.read(out));
        return relativeError(sampled(200, total * m, 8).map((at) => {
          const row = Math.floor(at / m);
          return [got[at]!, dot(values, row * k, pool, owner[row]! * SHIFT + (at % m) * k, k)] as const;
        }));
      },
    };
  });
}
