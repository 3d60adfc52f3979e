import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expertLayout, packExpert } from '../../src/engine/expert-layout.ts';
import type { MlpWeights, RawTensor, StoredDtype } from '../../src/model/types.ts';
import {
  bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, packedBytes, type PackedDtype, packRows, padTo, unpackRows,
} from '../../src/runtime/layout.ts';

const STORED: readonly StoredDtype[] = ['F32', 'F16', 'BF16'];
const PACKED: readonly PackedDtype[] = ['f32', 'f16', 'bf16'];

/** Stores values, rounding each to nearest even by search: the definition, not the code under test. */
function tensor(dtype: StoredDtype, shape: number[], values: readonly number[], misalign = 0): RawTensor {
  const size = dtype === 'F32' ? 4 : 2;
  const bytes = new Uint8Array(misalign + values.length * size).subarray(misalign);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  values.forEach((value, i) => {
    if (dtype === 'F32') view.setFloat32(4 * i, value, true);
    else view.setUint16(2 * i, nearest(value, dtype === 'F16' ? f16ToF32 : bf16ToF32), true);
  });
  return { dtype, shape, bytes };
}

/** Bits of the 16-bit number nearest to `value`, by bisection over the finite ones; ties to the even pattern. */
function nearest(value: number, decode: (bits: number) => number): number {
  const sign = Object.is(Math.sign(value), -0) || value < 0 ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  let low = 0;
  let high = decode(0x7c00) === Infinity ? 0x7c00 : 0x7f80;
  const top = decode(high - 1);
  if (magnitude > top) return sign | (magnitude - top >= (top - decode(high - 2)) / 2 ? high : high - 1);
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (decode(middle) <= magnitude) low = middle;
    else high = middle;
  }
  const [below, above] = [magnitude - decode(low), decode(high) - magnitude];
  return sign | (below < above || (below === above && low % 2 === 0) ? low : high);
}

const throughStored = (value: number, dtype: StoredDtype): number =>
  dtype === 'F32' ? Math.fround(value) : dtype === 'F16' ? f16ToF32(nearest(value, f16ToF32)) : bf16ToF32(nearest(value, bf16ToF32));
const throughPacked = (value: number, dtype: PackedDtype): number => throughStored(value, dtype.toUpperCase() as StoredDtype);

const float = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true, min: Math.fround(-60000), max: Math.fround(60000) }),
  fc.integer({ min: -4096, max: 4096 }).map((n) => Math.fround(n / 2 ** 24)),
);
const matrix = fc.tuple(fc.integer({ min: 1, max: 19 }), fc.integer({ min: 1, max: 21 })).chain(([rows, k]) =>
  fc.record({ rows: fc.constant(rows), k: fc.constant(k), values: fc.array(float, { minLength: rows * k, maxLength: rows * k }) }));

describe('packRows', () => {
  it.each(STORED.flatMap((from) => PACKED.map((to) => [from, to] as const)))('round trips %s stored as %s', (from, to) => {
    fc.assert(fc.property(matrix, fc.constantFrom(0, 1, 2), ({ rows, k, values }, misalign) => {
      const into = new Uint8Array(packedBytes(rows, k, to));
      packRows(tensor(from, [rows, k], values, misalign), to, into);
      const expected = values.map((value) => throughPacked(throughStored(value, from), to));
      expect([...unpackRows(into, rows, k, to)]).toEqual(expected);
    }), { numRuns: 60 });
  });

  it('puts element (r, c) where the formula of the layout says, and leaves the padding zero', () => {
    const [rows, k] = [11, 13];
    const into = new Uint8Array(packedBytes(rows, k, 'f32'));
    packRows(tensor('F32', [rows, k], Array.from({ length: rows * k }, (_, i) => i + 1)), 'f32', into);
    const expected = new Float32Array(16 * 16);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < k; c++) expected[((r >> 3) * 2 + (c >> 3)) * 64 + (r & 7) * 8 + (c & 7)] = r * k + c + 1;
    }
    expect([...new Float32Array(into.buffer)]).toEqual([...expected]);
  });

  it('appends rows at any row offset, into memory at any multiple of 4 bytes', () => {
    fc.assert(fc.property(matrix, matrix, fc.constantFrom(...PACKED), fc.constantFrom(0, 4, 20), (a, b, dtype, at) => {
      const [first, second] = [a, { ...b, k: a.k, values: Array.from({ length: b.rows * a.k }, (_, i) => i) }];
      const bytes = packedBytes(first.rows + second.rows, a.k, dtype);
      const into = new Uint8Array(at + bytes).subarray(at);
      packRows(tensor('F32', [first.rows, a.k], first.values), dtype, into);
      packRows(tensor('F32', [second.rows, a.k], second.values), dtype, into, first.rows);
      const expected = [...first.values, ...second.values].map((value) => throughPacked(Math.fround(value), dtype));
      expect([...unpackRows(into, first.rows + second.rows, a.k, dtype)]).toEqual(expected);
    }), { numRuns: 60 });
  });

  it('keeps every bit of 16-bit types, signalling NaNs included', () => {
    const bits = Uint16Array.from({ length: 0x10000 }, (_, i) => i);
    const into = new Uint8Array(packedBytes(1, 0x10000, 'f16'));
    packRows({ dtype: 'F16', shape: [1, 0x10000], bytes: new Uint8Array(bits.buffer) }, 'f16', into);
    const words = new Uint16Array(into.buffer);
    expect(bits.every((value, c) => words[(c >> 3) * 64 + (c & 7)] === value)).toBe(true);
  });

  it('refuses memory that is too small', () => {
    expect(() => packRows(tensor('F32', [9, 8], Array(72).fill(0)), 'f32', new Uint8Array(256)))
      .toThrowErrorMatchingInlineSnapshot(`[RangeError: packRows needs 512 bytes at a multiple of 4, got 256 at 0]`);
  });
});

describe('16-bit floats', () => {
  it('keep every pattern when a value is decoded and encoded again', () => {
    const all = Array.from({ length: 0x10000 }, (_, bits) => bits);
    const isNaN16 = (bits: number): boolean => (bits & 0x7c00) === 0x7c00 && (bits & 0x3ff) !== 0;
    expect(all.filter((bits) => Number.isNaN(f16ToF32(bits)) !== isNaN16(bits))).toEqual([]);
    expect(all.filter((bits) => !isNaN16(bits) && f32ToF16(f16ToF32(bits)) !== bits)).toEqual([]);
    expect(all.filter((bits) => !Number.isNaN(bf16ToF32(bits)) && f32ToBf16(bf16ToF32(bits)) !== bits)).toEqual([]);
  });

  it('round ties to even, overflow to infinity, and keep NaN', () => {
    expect(f16ToF32(f32ToF16(2049))).toBe(2048);
    expect(f16ToF32(f32ToF16(2051))).toBe(2052);
    expect(f16ToF32(f32ToF16(65519.996))).toBe(65504);
    expect(f16ToF32(f32ToF16(65520))).toBe(Infinity);
    expect(f16ToF32(f32ToF16(2 ** -25))).toBe(0);
    expect(f16ToF32(f32ToF16(3 * 2 ** -25))).toBe(2 ** -23);
    expect(f16ToF32(f32ToF16(NaN))).toBeNaN();
    expect(bf16ToF32(f32ToBf16(257))).toBe(256);
    expect(bf16ToF32(f32ToBf16(259))).toBe(260);
    expect(bf16ToF32(f32ToBf16(3.4e38))).toBe(Infinity);
    expect(bf16ToF32(f32ToBf16(NaN))).toBeNaN();
  });
});

describe('expert layout', () => {
  const mlp = (hidden: number, width: number): MlpWeights => {
    const values = (n: number, from: number): number[] => Array.from({ length: n }, (_, i) => from + i);
    return {
      gate: tensor('F32', [width, hidden], values(width * hidden, 1)),
      up: tensor('F32', [width, hidden], values(width * hidden, 1e5)),
      down: tensor('F32', [hidden, width], values(hidden * width, 2e5)),
    };
  };

  it.each([[16, 8], [12, 5], [64, 24]])('packs gate over up, then down, zero between: H %i, I %i', (hidden, width) => {
    const layout = expertLayout({ hiddenSize: hidden, moeIntermediateSize: width }, 'f32');
    const into = new Uint8Array(layout.expertBytes).fill(0xee);
    const weights = mlp(hidden, width);
    packExpert(weights, layout, into);
    const pad = padTo(width, 8);
    const gateUp = unpackRows(into, 2 * pad, hidden, 'f32');
    const stored = (t: RawTensor): number[] => [...new Float32Array(t.bytes.buffer)];
    const zeros = Array((pad - width) * hidden).fill(0);
    expect([...gateUp]).toEqual([...stored(weights.gate), ...zeros, ...stored(weights.up), ...zeros]);
    expect([...unpackRows(into.subarray(layout.downOffset), hidden, width, 'f32')]).toEqual(stored(weights.down));
    expect(into.subarray(layout.gateUpBytes, layout.downOffset).every((byte) => byte === 0)).toBe(true);
    expect(into.subarray(layout.downOffset + layout.downBytes).every((byte) => byte === 0)).toBe(true);
    expect([layout.downOffset % 256, layout.expertBytes % 256]).toEqual([0, 0]);
  });
});
