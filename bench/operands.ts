/** Random operands whose values are known to the oracle after rounding. */
import type { RawTensor } from '../src/model/types.ts';
import type { GpuDevice } from '../src/runtime/device.ts';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, packedBytes, packRows, type PackedDtype } from '../src/runtime/layout.ts';

/** Mulberry32. */
export function randomSource(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const ROUND = {
  f32: Math.fround,
  f16: (x: number) => f16ToF32(f32ToF16(x)),
  bf16: (x: number) => bf16ToF32(f32ToBf16(x)),
} satisfies Record<PackedDtype, (x: number) => number>;

/** Values in [-1, 1) that the type can hold. */
export function randomValues(count: number, dtype: PackedDtype, seed: number): Float32Array {
  const next = randomSource(seed);
  return Float32Array.from({ length: count }, () => ROUND[dtype](2 * next() - 1));
}

const STORAGE = (): number => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;

export const storage = (gpu: GpuDevice, bytes: number): GPUBuffer => gpu.createBuffer('bench', bytes, STORAGE());

export function uploaded(gpu: GpuDevice, data: Uint32Array | Float32Array | Uint8Array): GPUBuffer {
  const buffer = storage(gpu, data.byteLength);
  gpu.upload(buffer, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return buffer;
}

/** Row-major values as a stored tensor of the type, so that packing many times converts once. */
export function storedAs(values: Float32Array, dtype: PackedDtype): Uint8Array {
  if (dtype === 'f32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const halves = Uint16Array.from(values, dtype === 'f16' ? f32ToF16 : f32ToBf16);
  return new Uint8Array(halves.buffer);
}

const STORED = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const;

export function packed(bytes: Uint8Array, rows: number, k: number, dtype: PackedDtype): Uint8Array {
  const into = new Uint8Array(packedBytes(rows, k, dtype));
  const tensor: RawTensor = { dtype: STORED[dtype], shape: [rows, k], bytes };
  packRows(tensor, dtype, into);
  return into;
}

export const packedOperand = (gpu: GpuDevice, values: Float32Array, rows: number, k: number, dtype: PackedDtype): GPUBuffer =>
  uploaded(gpu, packed(storedAs(values, dtype), rows, k, dtype));

export function dot(a: Float32Array, aAt: number, b: Float32Array, bAt: number, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += a[aAt + i]! * b[bAt + i]!;
  return sum;
}

/** |actual - expected| / |expected| over sampled elements. */
export function relativeError(pairs: readonly (readonly [actual: number, expected: number])[]): number {
  let error = 0;
  let norm = 0;
  for (const [actual, expected] of pairs) {
    error += (actual - expected) ** 2;
    norm += expected ** 2;
  }
  return Math.sqrt(error / norm);
}

export const sampled = (count: number, below: number, seed: number): number[] => {
  const next = randomSource(seed);
  return Array.from({ length: count }, () => Math.floor(next() * below));
};
