/** Fresh random inputs for every run; `ASYNCEP_TEST_SEED` replays those of a failure. */
import { expect, onTestFailed } from 'vitest';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, type PackedDtype } from '../../src/runtime/layout.ts';
import { matrixOf, type Matrix } from '../../src/runtime/reference/tensor.ts';

const seed = Number(process.env['ASYNCEP_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** FNV-1a, so that each test draws numbers of its own whichever tests run beside it. */
const hash = (text: string): number => [...text].reduce((h, c) => Math.imul(h ^ c.codePointAt(0)!, 0x01000193), 0x811c9dc5);

export interface Random {
  /** In [0, 1). */
  uniform(): number;
  /** In [low, high]. */
  integer(low: number, high: number): number;
  /** Roughly normal, standard deviation 1. */
  normal(): number;
  shuffled<T>(items: readonly T[]): T[];
}

/** The generator of the running test (mulberry32); tells the seed when the test fails. */
export function testRandom(): Random {
  onTestFailed(() => console.error(`replay with ASYNCEP_TEST_SEED=${seed}`));
  let state = seed ^ hash(expect.getState().currentTestName ?? '');
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (low: number, high: number) => low + Math.floor(uniform() * (high - low + 1));
  return {
    uniform,
    integer,
    normal: () => Array.from({ length: 6 }, uniform).reduce((a, b) => a + b, -3) * Math.SQRT2,
    shuffled: (items) => {
      const out = [...items];
      for (let i = out.length - 1; i > 0; i--) {
        const j = integer(0, i);
        [out[i], out[j]] = [out[j]!, out[i]!];
      }
      return out;
    },
  };
}

const decode = {
  f32: Math.fround,
  f16: (v: number) => f16ToF32(f32ToF16(v)),
  bf16: (v: number) => bf16ToF32(f32ToBf16(v)),
} satisfies Record<PackedDtype, (v: number) => number>;

/** The value as an element of this type holds it: oracles start from it, so that a test sees arithmetic and not rounding of inputs. */
export const rounded = (value: number, dtype: PackedDtype): number => decode[dtype](value);

export const randomVector = (random: Random, length: number, scale = 1, dtype: PackedDtype = 'f32'): Float64Array =>
  Float64Array.from({ length }, () => rounded(random.normal() * scale, dtype));

export const randomMatrix = (random: Random, rows: number, columns: number, dtype: PackedDtype, scale = 1): Matrix =>
  matrixOf(rows, columns, () => rounded(random.normal() * scale, dtype));
