/** Dense products: out[M, N] = A[M, K] B[N, K]^T. */
import type { GpuDevice } from '../../src/runtime/device.ts';
import { matmul } from '../../src/runtime/kernels/matmul.ts';
import type { PackedDtype } from '../../src/runtime/layout.ts';
import type { MatmulShape, OperandDtype } from '../../src/runtime/plan.ts';
import type { Recorder } from '../../src/runtime/recorder.ts';
import { dot, packedOperand, randomValues, relativeError, sampled, storage } from '../operands.ts';

export interface KernelCase {
  readonly name: string;
  readonly why: string;
  readonly flops: number;
  readonly record: (recorder: Recorder) => void;
  /** Relative error of sampled elements against float64. */
  readonly check: () => Promise<number>;
}

export interface Variant {
  readonly shape: MatmulShape;
  readonly aType: OperandDtype;
  readonly bType: PackedDtype;
  readonly why: string;
}

export const shapeName = (shape: MatmulShape): string => (shape.kind === 'tiled' ? 'tiled' : `broadcast ${shape.R}x${shape.C}`);
export const variantName = ({ shape, aType, bType }: Variant): string => `${shapeName(shape)} ${aType}x${bType}`;

const SAMPLES = 200;

export function denseCases(gpu: GpuDevice, variants: readonly Variant[], { M, N, K }: { M: number; N: number; K: number }): KernelCase[] {
  const out = storage(gpu, M * N * 4);
  const operands = new Map<string, { buffer: GPUBuffer; values: Float32Array }>();
  const operand = (name: 'a' | 'b', rows: number, dtype: PackedDtype) => {
    const key = name + dtype;
    let known = operands.get(key);
    if (!known) {
      const values = randomValues(rows * K, dtype, name === 'a' ? 1 : 2);
      operands.set(key, known = { values, buffer: packedOperand(gpu, values, rows, K, dtype) });
    }
    return known;
  };
  return variants.map((variant) => {
    const { shape, aType, bType, why } = variant;
    const a = operand('a', M, aType);
    const b = operand('b', N, bType);
    return {
      name: variantName(variant), why, flops: 2 * M * N * K,
      record: (recorder) => matmul(gpu, recorder, {
        shape, a: a.buffer, aType, rows: M, out, outStride: N,
        b: { rows: N, k: K, dtype: bType, banks: [{ buffer: b.buffer, firstRow: 0, rows: N }] },
      }),
      async check() {
        const got = new Float32Array(await gpu.read(out));
        return relativeError(sampled(SAMPLES, M * N, 3).map((at) => [got[at]!, dot(a.values, Math.floor(at / N) * K, b.values, (at % N) * K, K)] as const));
      },
    };
  });
}
