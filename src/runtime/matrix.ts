/** Weight matrices on a device: packed panels, cut into banks where one binding cannot show them whole. */
import { DeviceError } from '../errors.ts';
import type { RawTensor } from '../model/types.ts';
import type { GpuDevice } from './device.ts';
import { CELL, packRows, packedBytes, padTo, type PackedDtype } from './layout.ts';

/** Rows [firstRow, firstRow + rows) of a matrix, in a buffer of their own. */
export interface Bank {
  readonly buffer: GPUBuffer;
  readonly firstRow: number;
  readonly rows: number;
}

/** A packed matrix [rows, k]. */
export interface PackedMatrix {
  readonly rows: number;
  readonly k: number;
  readonly dtype: PackedDtype;
  readonly banks: readonly Bank[];
}

/** Rows read at a time while uploading: bounds what is held in JavaScript. */
const ROWS_PER_READ = 4096;

/** Most rows of a [*, k] matrix that one binding can show, a multiple of 8. */
export function rowsPerBank(k: number, dtype: PackedDtype, maxBindingBytes: number): number {
  const rows = Math.floor(maxBindingBytes / packedBytes(CELL, k, dtype)) * CELL;
  if (rows === 0) throw new DeviceError(`8 rows of ${k} ${dtype} elements do not fit one binding of ${maxBindingBytes} bytes`);
  return rows;
}

/**
 * Uploads a matrix row range by row range.
 * @param read rows [start, start + count), row-major, as stored
 */
export async function uploadMatrix(
  gpu: GpuDevice, label: string, rows: number, k: number, dtype: PackedDtype,
  read: (start: number, count: number) => Promise<RawTensor>,
): Promise<PackedMatrix> {
  const perBank = rowsPerBank(k, dtype, gpu.maxBindingBytes);
  const banks: Bank[] = [];
  for (let firstRow = 0; firstRow < rows; firstRow += perBank) {
    const bankRows = Math.min(perBank, rows - firstRow);
    const buffer = gpu.createBuffer(label, packedBytes(bankRows, k, dtype), GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
    for (let row = 0; row < bankRows; row += ROWS_PER_READ) {
      const count = Math.min(ROWS_PER_READ, bankRows - row);
      const packed = new Uint8Array(packedBytes(count, k, dtype));
      packRows(await read(firstRow + row, count), dtype, packed);
      gpu.upload(buffer, packed, (row / CELL) * packedBytes(CELL, k, dtype));
    }
    banks.push({ buffer, firstRow, rows: bankRows });
  }
  return { rows, k, dtype, banks };
}

/** Uploads several stored matrices of the same k as one, their rows one after the other (fused QKV). */
export async function uploadStacked(gpu: GpuDevice, label: string, k: number, dtype: PackedDtype, parts: readonly RawTensor[]): Promise<PackedMatrix> {
  const starts: number[] = [];
  let rows = 0;
  for (const part of parts) {
    starts.push(rows);
    rows += part.shape[0] ?? 0;
  }
  return uploadMatrix(gpu, label, rows, k, dtype, (start, count) => Promise.resolve(stackedRows(parts, starts, k, start, count)));
}

function stackedRows(parts: readonly RawTensor[], starts: readonly number[], k: number, start: number, count: number): RawTensor {
  const dtype = parts[0]?.dtype ?? 'F32';
  const rowBytes = k * (dtype === 'F32' ? 4 : 2);
  const bytes = new Uint8Array(count * rowBytes);
  parts.forEach((part, i) => {
    const partStart = starts[i] ?? 0;
    const from = Math.max(start, partStart);
    const to = Math.min(start + count, partStart + (part.shape[0] ?? 0));
    if (from < to) bytes.set(part.bytes.subarray((from - partStart) * rowBytes, (to - partStart) * rowBytes), (from - start) * rowBytes);
  });
  return { dtype, shape: [count, k], bytes };
}

/** Number of cells along k, as kernels count them. */
export const cellsOf = (k: number): number => padTo(k, CELL) / CELL;
