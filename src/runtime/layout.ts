/**
 * The panel layout, shared by every matrix operand (weights and activations).
 *
 * A matrix [rows, k] is cut into cells of 8 rows x 8 consecutive k; a cell is stored row by row, cells of one
 * panel (8 rows) run along k. Element (r, c) stands at
 *
 *     ((r >> 3) * (kPadded >> 3) + (c >> 3)) * 64 + (r & 7) * 8 + (c & 7)
 *
 * so that one `vec4<u32>` (16-bit elements) or two `vec4<f32>` are 8 consecutive k of one row, and neighbouring lanes
 * (neighbouring rows) load neighbouring 16- or 32-byte pieces. Rows and k are padded with zeros to a multiple of 8.
 */
import type { RawTensor } from '../model/types.ts';

/** Element type of a packed operand on the device. */
export type PackedDtype = 'f32' | 'f16' | 'bf16';

export const CELL = 8;

export const padTo = (n: number, multiple: number): number => Math.ceil(n / multiple) * multiple;

export const bytesPerElement = (dtype: PackedDtype): number => (dtype === 'f32' ? 4 : 2);

/** Bytes of a packed [rows, k] matrix. */
export const packedBytes = (rows: number, k: number, dtype: PackedDtype): number =>
  padTo(rows, CELL) * padTo(k, CELL) * bytesPerElement(dtype);

/**
 * Packs row-major rows into panels, converting the element type (round to nearest even).
 * @param into destination of at least `packedBytes(rowOffset + rows, k, dtype)` bytes, 4-byte aligned, already zero where padded
 * @param rowOffset first row of the destination matrix that `tensor`'s row 0 becomes
 */
export type PackRows = (tensor: RawTensor, dtype: PackedDtype, into: Uint8Array, rowOffset?: number) => void;
