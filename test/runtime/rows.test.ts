import { describe, expect, it } from 'vitest';
import type { GpuDevice } from '../../src/runtime/device.ts';
import { cellsOf } from '../../src/runtime/matrix.ts';
import { packedBytes, padTo, type PackedDtype } from '../../src/runtime/layout.ts';
import { candidateHead, embedding, gatherRows, rmsNorm } from '../../src/runtime/kernels/rows.ts';
import * as oracle from '../../src/runtime/reference/rows.ts';
import { matrixOf, type Matrix } from '../../src/runtime/reference/tensor.ts';
import { adapters, useDevice } from './adapters.ts';
import { asFloats, columnsOf, expectClose, expectPoison, f32Buffer, operandBuffer, poisoned, readWords, u32Buffer, unpacked, weightMatrix } from './buffers.ts';
import { randomMatrix, randomVector, testRandom } from './random.ts';

const WEIGHTS: readonly PackedDtype[] = ['f32', 'f16', 'bf16'];

/** Row-major with every row padded with zeros to a multiple of 8, as the residual stream is. */
const padded = (m: Matrix): Float64Array => {
  const stride = padTo(m.columns, 8);
  return matrixOf(m.rows, stride, (r, c) => (c < m.columns ? m.values[r * m.columns + c]! : 0)).values;
};

describe.each(adapters)('row kernels on $name', (adapter) => {
  const rig = useDevice(adapter, { maxBindingBytes: 4096 });

  it.each(WEIGHTS)('embedding copies rows of a %s table that lies in several banks', async (dtype) => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    for (const hidden of [1, random.integer(9, 15), 24]) {
      const vocabulary = 400 + random.integer(0, 20);
      const table = randomMatrix(random, vocabulary, hidden, dtype);
      const weights = await weightMatrix(gpu, table, dtype);
      expect(weights.banks.length).toBeGreaterThan(1);
      const tokens = [0, vocabulary - 1, ...weights.banks.map((bank) => bank.firstRow), ...Array.from({ length: 70 }, () => random.integer(0, vocabulary - 1))];
      const stride = padTo(hidden, 8);
      const x = poisoned(gpu, (tokens.length + 2) * stride * 4);
      embedding(gpu, recorder, { count: tokens.length, tokens: u32Buffer(gpu, tokens), table: weights, x });
      recorder.submit();
      const words = await readWords(gpu, x);
      expect([...asFloats(words).subarray(0, tokens.length * stride)]).toEqual([...padded(oracle.gatherRows(table, tokens))]);
      expectPoison(words, tokens.length * stride, words.length);
    }
  });

  const normCases = adapter.operands.flatMap((type) => [[type, false, 'a subgroup'], [type, true, 'a subgroup'], [type, true, '64 threads'], [type, false, '64 threads']] as const);

  it.each(normCases)('RMSNorm into %s (second copy in f32: %s) by %s agrees with the oracle', async (type, dual, lanes) => {
    const random = testRandom();
    const { recorder } = rig;
    const gpu = lanes === 'a subgroup' ? rig.gpu : withoutSubgroups(rig.gpu);
    for (const [rows, hidden] of [[1, 1], [1, 8], [random.integer(2, 40), random.integer(9, 700)], [9, 520]] as const) {
      const x = randomMatrix(random, rows, hidden, 'f32', random.uniform() * 10);
      const weight = randomVector(random, hidden);
      const eps = 1e-6;
      const bytes = packedBytes(rows + 8, hidden, type);
      const y = poisoned(gpu, bytes, type);
      const y32 = poisoned(gpu, packedBytes(rows, hidden, 'f32'));
      rmsNorm(gpu, recorder, {
        rows, hidden, eps, type, y, x: f32Buffer(gpu, padded(x)), weight: f32Buffer(gpu, padded({ rows: 1, columns: hidden, values: weight })),
        ...(dual ? { y32 } : {}),
      });
      recorder.submit();
      const expected = oracle.rmsNorm(x, weight, eps).values;
      const words = await readWords(gpu, y);
      expectClose(unpacked(words, rows, hidden, type), expected, type);
      expectZeroPadding(unpacked(words, rows, padTo(hidden, 8), type), rows, hidden);
      expectPoison(words, packedBytes(rows, hidden, type) / 4, words.length, type);
      if (dual) expectClose(unpacked(await readWords(gpu, y32), rows, hidden, 'f32'), expected);
    }
  });

  it('RMSNorm saturates in f16 instead of overflowing', async () => {
    const { gpu, recorder } = rig;
    const y = poisoned(gpu, packedBytes(1, 8, 'f16'), 'f16');
    rmsNorm(gpu, recorder, {
      rows: 1, hidden: 8, eps: 0, type: 'f16', y, x: f32Buffer(gpu, [1, -1, 1, -1, 1, -1, 1, -1]), weight: f32Buffer(gpu, [1e5, 1e5, 65504, 2, 1, 0.5, 1e30, -1e30]),
    });
    recorder.submit();
    expect([...unpacked(await readWords(gpu, y), 1, 8, 'f16')]).toEqual([65504, -65504, 65504, -2, 1, -0.5, 65504, 65504]);
  });

  it('RMSNorm of gathered rows has the bits of the same rows in place', async () => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    const [rows, hidden] = [random.integer(10, 30), random.integer(9, 90)];
    const x = f32Buffer(gpu, padded(randomMatrix(random, rows, hidden, 'f32')));
    const weight = f32Buffer(gpu, padded(randomMatrix(random, 1, hidden, 'f32')));
    const taken = [rows - 1, 0, 3, 3, random.integer(0, rows - 1)];
    const all = poisoned(gpu, packedBytes(rows, hidden, 'f32'));
    const some = poisoned(gpu, packedBytes(taken.length, hidden, 'f32'));
    const shared = { hidden, eps: 1e-5, type: 'f32', x, weight } as const;
    rmsNorm(gpu, recorder, { ...shared, rows, y: all });
    rmsNorm(gpu, recorder, { ...shared, rows: taken.length, y: some, gather: u32Buffer(gpu, taken) });
    recorder.submit();
    const everyRow = unpacked(await readWords(gpu, all), rows, hidden, 'f32');
    const expected = taken.flatMap((r) => [...everyRow.subarray(r * hidden, (r + 1) * hidden)]);
    expect([...unpacked(await readWords(gpu, some), taken.length, hidden, 'f32')]).toEqual(expected);
  });

  it('gathers rows', async () => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    for (const [rows, stride] of [[1, 4], [30, 8 * random.integer(1, 40)]] as const) {
      const x = randomMatrix(random, rows, stride, 'f32');
      const taken = [0, rows - 1, ...Array.from({ length: 9 }, () => random.integer(0, rows - 1))];
      const out = poisoned(gpu, (taken.length + 1) * stride * 4);
      gatherRows(gpu, recorder, { count: taken.length, stride, x: f32Buffer(gpu, x.values), rows: u32Buffer(gpu, taken), out });
      recorder.submit();
      const words = await readWords(gpu, out);
      expect([...asFloats(words).subarray(0, taken.length * stride)]).toEqual([...oracle.gatherRows(x, taken).values]);
      expectPoison(words, taken.length * stride, words.length);
    }
  });

  it.each(WEIGHTS)('candidate head with %s weights in several banks agrees with the oracle', async (dtype) => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    for (const [sequences, count, hidden] of [[1, 1, 1], [random.integer(2, 12), random.integer(2, 100), random.integer(9, 60)]] as const) {
      const vocabulary = 600;
      const head = randomMatrix(random, vocabulary, hidden, dtype);
      const h = randomMatrix(random, sequences, hidden, 'f32');
      const weights = await weightMatrix(gpu, head, dtype);
      expect(weights.banks.length).toBeGreaterThan(1);
      const candidates = Array.from({ length: count }, () => random.integer(0, vocabulary - 1));
      const logits = poisoned(gpu, (sequences * count + 3) * 4);
      candidateHead(gpu, recorder, { sequences, candidates: u32Buffer(gpu, candidates), count, h: operandBuffer(gpu, h, 'f32'), head: weights, logits });
      recorder.submit();
      const words = await readWords(gpu, logits);
      expectClose(asFloats(words).subarray(0, sequences * count), oracle.candidateHead(h, head, candidates).values);
      expectPoison(words, sequences * count, words.length);
    }
  });

  it('a cell is counted whole: 9 columns take 2', () => {
    expect([1, 8, 9].map(cellsOf)).toEqual([1, 1, 2]);
  });
});

/** The device as one whose subgroups may be of any size. */
const withoutSubgroups = (gpu: GpuDevice): GpuDevice => Object.create(gpu, { subgroupSize: { value: 0 } }) as GpuDevice;

/** Products multiply the padding along k, so it has to be zero. */
function expectZeroPadding(values: Float32Array, rows: number, columns: number): void {
  const stride = padTo(columns, 8);
  const padding = columnsOf(values, rows, stride, stride).filter((_, i) => i % stride >= columns);
  expect(padding.every((v) => v === 0)).toBe(true);
}
