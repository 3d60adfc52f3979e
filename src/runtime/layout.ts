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
import { bf16ToF16Table, bf16ToF32, f16ToBf16Table, f16ToF32, f16ToF32Table, f32BitsToBf16, f32BitsToF16 } from '../model/float16.ts';
import type { RawTensor, StoredDtype } from '../model/types.ts';

export { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../model/float16.ts';

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

type Words = Uint16Array | Uint32Array;
/** Converts `count` elements from `source[from]` on into `target[0]` on. */
type ConvertRow = (source: Words, from: number, target: Words, count: number) => void;

/** {@link PackRows}: same types move 16 bytes at a time, others are converted row by row. */
export const packRows: PackRows = (tensor, dtype, into, rowOffset = 0) => {
  const { rows, k } = matrixShape(tensor);
  const end = packedBytes(rowOffset + rows, k, dtype);
  if (into.byteLength < end || into.byteOffset % 4 !== 0) {
    throw new RangeError(`packRows needs ${end} bytes at a multiple of 4, got ${into.byteLength} at ${into.byteOffset}`);
  }
  const source = elements(tensor);
  const cells = padTo(k, CELL) / CELL;
  const wordsPerCellRow = (CELL * bytesPerElement(dtype)) / 4;
  const out = new Uint32Array(into.buffer, into.byteOffset, end >> 2);
  const row = dtype === 'f32' ? new Uint32Array(cells * CELL) : new Uint16Array(cells * CELL);
  const rowWords = new Uint32Array(row.buffer);
  const convert = converter(tensor.dtype, dtype);
  // Rows that start at a whole word and need no padding are moved from where they lie.
  const direct = convert === null && k % CELL === 0 && source.byteOffset % 4 === 0
    ? new Uint32Array(source.buffer, source.byteOffset, source.byteLength >> 2) : null;
  for (let r = 0; r < rows; r++) {
    const at = rowStart(rowOffset + r, cells, wordsPerCellRow);
    if (direct !== null) {
      scatter(direct, r * cells * wordsPerCellRow, cells, wordsPerCellRow, out, at);
      continue;
    }
    if (convert === null) row.set(source.subarray(r * k, (r + 1) * k));
    else convert(source, r * k, row, k);
    scatter(rowWords, 0, cells, wordsPerCellRow, out, at);
  }
};

/** Word at which a row's first cell row stands. */
const rowStart = (r: number, cells: number, wordsPerCellRow: number): number =>
  ((r >> 3) * cells * CELL + (r & 7)) * wordsPerCellRow;

/** Moves one row: its pieces of 8 elements lie together in `from` and a cell (8 rows) apart in `to`. */
function scatter(from: Uint32Array, start: number, cells: number, words: number, to: Uint32Array, at: number): void {
  const step = CELL * words;
  let s = start;
  for (let cell = 0, t = at; cell < cells; cell++, t += step) {
    to[t] = from[s]!;
    to[t + 1] = from[s + 1]!;
    to[t + 2] = from[s + 2]!;
    to[t + 3] = from[s + 3]!;
    if (words === 8) {
      to[t + 4] = from[s + 4]!;
      to[t + 5] = from[s + 5]!;
      to[t + 6] = from[s + 6]!;
      to[t + 7] = from[s + 7]!;
    }
    s += words;
  }
}

function matrixShape(tensor: RawTensor): { rows: number; k: number } {
  const [rows, k] = tensor.shape;
  if (tensor.shape.length === 2) return { rows: rows!, k: k! };
  throw new RangeError(`packRows needs a matrix, got shape [${tensor.shape.join(', ')}]`);
}

/** The tensor's elements as bits; copied when they do not lie at a multiple of their size. */
function elements({ dtype, bytes }: RawTensor): Words {
  const size = dtype === 'F32' ? 4 : 2;
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return dtype === 'F32' ? new Uint32Array(buffer, byteOffset, byteLength / 4) : new Uint16Array(buffer, byteOffset, byteLength / 2);
}

/** How elements change on the way; null when they do not. */
function converter(from: StoredDtype, to: PackedDtype): ConvertRow | null {
  switch (`${from}>${to}` as const) {
    case 'F32>f32':
    case 'F16>f16':
    case 'BF16>bf16':
      return null;
    case 'BF16>f32':
      return (source, start, target, count) => { for (let i = 0; i < count; i++) target[i] = source[start + i]! << 16; };
    case 'F16>f32':
      return throughTable(f16ToF32Table());
    case 'BF16>f16':
      return throughTable(bf16ToF16Table());
    case 'F16>bf16':
      return throughTable(f16ToBf16Table());
    case 'F32>f16':
      return (source, start, target, count) => { for (let i = 0; i < count; i++) target[i] = f32BitsToF16(source[start + i]!); };
    case 'F32>bf16':
      return (source, start, target, count) => { for (let i = 0; i < count; i++) target[i] = f32BitsToBf16(source[start + i]!); };
  }
}

const throughTable = (table: Words): ConvertRow => (source, start, target, count) => {
  for (let i = 0; i < count; i++) target[i] = table[source[start + i]!]!;
};

/** The values of a packed [rows, k] matrix, row-major: the inverse of {@link packRows}, for oracles and tests. */
export function unpackRows(packed: Uint8Array, rows: number, k: number, dtype: PackedDtype): Float32Array {
  const cells = padTo(k, CELL) / CELL;
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const read = dtype === 'f32' ? (i: number) => view.getFloat32(4 * i, true)
    : dtype === 'f16' ? (i: number) => f16ToF32(view.getUint16(2 * i, true))
    : (i: number) => bf16ToF32(view.getUint16(2 * i, true));
  return Float32Array.from({ length: rows * k }, (_, i) => {
    const [r, c] = [Math.floor(i / k), i % k];
    return read(((r >> 3) * cells + (c >> 3)) * CELL * CELL + (r & 7) * CELL + (c & 7));
  });
}
