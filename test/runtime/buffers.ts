/** Between host arrays and device buffers: upload, poison, read back, compare. */
import { expect } from 'vitest';
import type { RawTensor } from '../../src/model/types.ts';
import type { GpuDevice } from '../../src/runtime/device.ts';
import { type PackedDtype, packedBytes, packRows, padTo, unpackRows } from '../../src/runtime/layout.ts';
import { type PackedMatrix, uploadMatrix } from '../../src/runtime/matrix.ts';
import { matrixOf, type Matrix } from '../../src/runtime/reference/tensor.ts';

const usage = (): GPUBufferUsageFlags => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;

export function bytesBuffer(gpu: GpuDevice, bytes: Uint8Array): GPUBuffer {
  const buffer = gpu.createBuffer('test/input', bytes.byteLength, usage());
  gpu.upload(buffer, bytes);
  return buffer;
}

export const f32Buffer = (gpu: GpuDevice, values: ArrayLike<number>): GPUBuffer =>
  bytesBuffer(gpu, new Uint8Array(Float32Array.from(values).buffer));

export const u32Buffer = (gpu: GpuDevice, values: ArrayLike<number>): GPUBuffer =>
  bytesBuffer(gpu, new Uint8Array(Uint32Array.from(values).buffer));

/** NaN in every element: a word of f32, or two of f16. */
const POISON = { f32: 0x7fc0_dead, f16: 0x7e11_7e11, bf16: 0x7fc1_7fc1 } satisfies Record<PackedDtype, number>;

/** A buffer in which every element is NaN. */
export const poisoned = (gpu: GpuDevice, bytes: number, dtype: PackedDtype = 'f32'): GPUBuffer =>
  u32Buffer(gpu, new Uint32Array(Math.ceil(bytes / 4)).fill(POISON[dtype]));

/** Asserts that a range of elements is as {@link poisoned} left it. */
export function expectPoison(words: Uint32Array, from: number, to: number, dtype: PackedDtype = 'f32'): void {
  const touched = [...words.subarray(from, to)].findIndex((word) => word !== POISON[dtype]);
  expect(touched === -1 ? 'untouched' : `word ${from + touched} was written`).toBe('untouched');
}

export const readWords = async (gpu: GpuDevice, buffer: GPUBuffer): Promise<Uint32Array> => new Uint32Array(await gpu.read(buffer));

export const asFloats = (words: Uint32Array): Float32Array => new Float32Array(words.buffer, words.byteOffset, words.length);

export const rawMatrix = ({ rows, columns, values }: Matrix): RawTensor =>
  ({ dtype: 'F32', shape: [rows, columns], bytes: new Uint8Array(Float32Array.from(values).buffer) });

export function packedOf(m: Matrix, dtype: PackedDtype): Uint8Array {
  const bytes = new Uint8Array(packedBytes(m.rows, m.columns, dtype));
  packRows(rawMatrix(m), dtype, bytes);
  return bytes;
}

/**
 * A packed operand whose padding rows are NaN, as a kernel that writes only its own rows leaves them. (Padding along k is zero: kernels
 * multiply it.)
 */
export function operandBuffer(gpu: GpuDevice, m: Matrix, dtype: PackedDtype): GPUBuffer {
  const rows = padTo(m.rows, 8);
  return bytesBuffer(gpu, packedOf(matrixOf(rows, m.columns, (r, c) => (r < m.rows ? m.values[r * m.columns + c]! : NaN)), dtype));
}

/** The matrix as weights, in as many banks as the device's binding limit makes of it. */
export const weightMatrix = (gpu: GpuDevice, m: Matrix, dtype: PackedDtype): Promise<PackedMatrix> =>
  uploadMatrix(gpu, 'test/weight', m.rows, m.columns, dtype, (start, count) =>
    Promise.resolve(rawMatrix({ rows: count, columns: m.columns, values: m.values.subarray(start * m.columns, (start + count) * m.columns) })));

/** Packed words -> row-major values. */
export const unpacked = (words: Uint32Array, rows: number, columns: number, dtype: PackedDtype): Float32Array =>
  unpackRows(new Uint8Array(words.buffer, words.byteOffset, words.byteLength), rows, columns, dtype);

/** A row-major [rows, stride] matrix of which the first `columns` of each row count. */
export const columnsOf = (values: ArrayLike<number>, rows: number, columns: number, stride: number): Float64Array =>
  matrixOf(rows, columns, (r, c) => values[r * stride + c]!).values;

/** |actual - expected| / |expected|, Euclidean; NaN where any value is. */
export function relativeL2(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let error = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return Math.sqrt(error / norm);
}

/**
 * Largest relative L2 error allowed, by the type a result is stored in.
 *
 * f32: a sum of K products in any order is off by about sqrt(K) 2^-25 relative to its terms when errors are random; for K < 1000 that is
 * 1e-6, and exp adds its own few units of 2^-24. A single wrong element among 10,000 would show as 1e-2.
 * f16: the same, then one rounding of at most 2^-11 of each element.
 */
const TOLERANCE = { f32: 4e-6, f16: 2 ** -11 } as const;

export function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, type: 'f32' | 'f16' = 'f32'): void {
  expect(actual.length).toBe(expected.length);
  expect(relativeL2(actual, expected)).toBeLessThanOrEqual(TOLERANCE[type]);
}
