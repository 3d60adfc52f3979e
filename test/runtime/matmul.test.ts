import { describe, expect, it } from 'vitest';
import type { PackedDtype } from '../../src/runtime/layout.ts';
import { matmul } from '../../src/runtime/kernels/matmul.ts';
import { type MatmulShape, type OperandDtype, tileRows } from '../../src/runtime/plan.ts';
import { matmul as matmulOracle } from '../../src/runtime/reference/matmul.ts';
import { matrixOf, row, type Matrix } from '../../src/runtime/reference/tensor.ts';
import { adapters, useDevice } from './adapters.ts';
import { asFloats, columnsOf, expectClose, expectPoison, f32Buffer, operandBuffer, poisoned, readWords, weightMatrix } from './buffers.ts';
import { randomMatrix, randomVector, testRandom } from './random.ts';

interface Variant {
  readonly shape: MatmulShape;
  readonly aType: OperandDtype;
  readonly bType: PackedDtype;
}

const TILED: MatmulShape = { kind: 'tiled' };

/** Each tile size, each pair of types, and no product of the two: a broadcast kernel takes seconds to compile. */
const variantsOf = (L: number): Variant[] => [
  { shape: { kind: 'broadcast', L, R: 8, C: 4 }, aType: 'f32', bType: 'f32' },
  { shape: { kind: 'broadcast', L, R: 16, C: 4 }, aType: 'f32', bType: 'bf16' },
  { shape: { kind: 'broadcast', L, R: 32, C: 2 }, aType: 'f16', bType: 'f16' },
  { shape: { kind: 'broadcast', L, R: 8, C: 2 }, aType: 'f16', bType: 'bf16' },
  { shape: TILED, aType: 'f32', bType: 'f32' },
  { shape: TILED, aType: 'f16', bType: 'f16' },
];

const title = ({ shape, aType, bType }: Variant): string =>
  `${shape.kind === 'tiled' ? 'tiled' : `${shape.R} rows x ${shape.C} groups`}, ${aType} x ${bType}`;

describe.each(adapters)('dense product on $name', (adapter) => {
  const rig = useDevice(adapter);
  const variants = variantsOf(adapter.L);

  /** Runs a plain product into a poisoned [rows, stride] and returns its words. */
  async function product(variant: Variant, a: Matrix, b: Matrix, stride = b.rows, extraRows = 3): Promise<Uint32Array> {
    const { gpu, recorder } = rig;
    const out = poisoned(gpu, (a.rows + extraRows) * stride * 4);
    matmul(gpu, recorder, {
      ...variant, a: operandBuffer(gpu, a, variant.aType), b: await weightMatrix(gpu, b, variant.bType), rows: a.rows, out, outStride: stride,
    });
    recorder.submit();
    return readWords(gpu, out);
  }

  it.each(variants.map((variant) => [title(variant), variant] as const))('%s: agrees with the oracle for odd sizes and leaves the rest alone', async (_, variant) => {
    const random = testRandom();
    const sizes = [[1, 1, 1], [tileRows(variant.shape) + 1, 9, 7], [random.integer(2, 70), random.integer(2, 80), random.integer(2, 120)]] as const;
    for (const [rows, columns, k] of sizes) {
      const a = randomMatrix(random, rows, k, variant.aType);
      const b = randomMatrix(random, columns, k, variant.bType);
      const stride = columns + 5;
      const words = await product(variant, a, b, stride);
      expectClose(columnsOf(asFloats(words), rows, columns, stride), matmulOracle(a, b).values);
      for (let r = 0; r < rows; r++) expectPoison(words, r * stride + columns, (r + 1) * stride);
      expectPoison(words, rows * stride, words.length);
    }
  });

  it.each([
    ['broadcast', { kind: 'broadcast', L: adapter.L, R: 8, C: 2 }],
    ['tiled', TILED],
  ] as const)('%s: adds to what is there, with a bias', async (_, shape) => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    const [rows, columns, k] = [random.integer(1, 40), random.integer(1, 70), random.integer(1, 60)];
    const a = randomMatrix(random, rows, k, 'f32');
    const b = randomMatrix(random, columns, k, 'f32');
    const before = randomMatrix(random, rows, columns, 'f32');
    const bias = randomVector(random, columns);
    const shared = { shape, a: operandBuffer(gpu, a, 'f32'), aType: 'f32', b: await weightMatrix(gpu, b, 'f32'), rows, outStride: columns } as const;
    const accumulated = f32Buffer(gpu, before.values);
    matmul(gpu, recorder, { ...shared, out: accumulated, accumulate: true, bias: f32Buffer(gpu, bias) });
    recorder.submit();
    expectClose(asFloats(await readWords(gpu, accumulated)), matmulOracle(a, b, { bias, before }).values);
  });

  it.each(variants.filter((_, i) => [1, 2, 4].includes(i)).map((variant) => [title(variant), variant] as const))(
    '%s: a row has the same bits wherever it stands and whatever stands beside it', async (_, variant) => {
      const random = testRandom();
      const [k, columns] = [random.integer(20, 90), random.integer(10, 40)];
      const b = randomMatrix(random, columns, k, variant.bType);
      const one = randomMatrix(random, 1, k, variant.aType);
      const rows = 2 * tileRows(variant.shape) + 5;
      const others = randomMatrix(random, rows, k, variant.aType, 30);
      const mixed = matrixOf(rows, k, (r, c) => (r % 3 === 0 ? one.values[c]! : r % 3 === 1 ? NaN : others.values[r * k + c]!));
      const alone = (await product(variant, one, b)).subarray(0, columns);
      const together = await product(variant, mixed, b);
      for (let r = 0; r < rows; r += 3) expect(together.subarray(r * columns, (r + 1) * columns)).toEqual(alone);
    });
});

describe.each(adapters)('dense product over banks on $name', (adapter) => {
  const rig = useDevice(adapter, { maxBindingBytes: 6144 });
  const shapes: MatmulShape[] = [{ kind: 'broadcast', L: adapter.L, R: 8, C: 4 }, TILED];

  it.each(shapes.map((shape) => [shape.kind, shape] as const))('%s: a matrix in several banks gives the same columns, whole or in part', async (_, shape) => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    const [rows, columns, k] = [random.integer(1, 20), 130 + random.integer(0, 30), 24 + random.integer(0, 8)];
    const a = randomMatrix(random, rows, k, 'f32');
    const b = randomMatrix(random, columns, k, 'f32');
    const weights = await weightMatrix(gpu, b, 'f32');
    expect(weights.banks.length).toBeGreaterThanOrEqual(3);
    const shared = { shape, a: operandBuffer(gpu, a, 'f32'), aType: 'f32', b: weights, rows } as const;
    const whole = poisoned(gpu, rows * columns * 4);
    matmul(gpu, recorder, { ...shared, out: whole, outStride: columns });
    const firstColumn = random.integer(1, 60);
    const some = columns - firstColumn - random.integer(1, 40);
    const bias = randomVector(random, some);
    const part = poisoned(gpu, rows * some * 4);
    matmul(gpu, recorder, { ...shared, out: part, outStride: some, firstColumn, columns: some, bias: f32Buffer(gpu, bias) });
    recorder.submit();
    expectClose(asFloats(await readWords(gpu, whole)), matmulOracle(a, b).values);
    const rowsOfPart = matrixOf(some, k, (n, c) => row(b, firstColumn + n)[c]!);
    expectClose(asFloats(await readWords(gpu, part)), matmulOracle(a, rowsOfPart, { bias }).values);
  });
});
