/** Scores of whole rows of logits on both software adapters, against float64. */
import { describe, expect, it } from 'vitest';
import type { GpuDevice } from '../../src/runtime/device.ts';
import { NO_TOKEN, scoreWords, tokenScores } from '../../src/runtime/kernels/token-scores.ts';
import type { Recorder } from '../../src/runtime/recorder.ts';
import * as oracle from '../../src/runtime/reference/token-scores.ts';
import { matrixOf, type Matrix } from '../../src/runtime/reference/tensor.ts';
import { adapters, useDevice } from './adapters.ts';
import { asFloats, expectPoison, f32Buffer, poisoned, readWords, u32Buffer } from './buffers.ts';
import { randomMatrix, testRandom } from './random.ts';

type Next = readonly (number | null)[];

interface Device {
  readonly gpu: GpuDevice;
  readonly recorder: Recorder;
}

/** Scores of all rows, `firstRow` rows of other scores before them and one behind, which stay as they are. */
async function scoresOnDevice({ gpu, recorder }: Device, logits: Matrix, next: Next, top: number, firstRow = 3): Promise<oracle.RowScores[]> {
  const words = scoreWords(top);
  const scores = poisoned(gpu, (firstRow + logits.rows + 1) * words * 4);
  tokenScores(gpu, recorder, {
    rows: logits.rows, vocabulary: logits.columns, top, firstRow, scores,
    logits: f32Buffer(gpu, logits.values), next: u32Buffer(gpu, next.map((token) => token ?? NO_TOKEN)),
  });
  recorder.submit();
  const found = await readWords(gpu, scores);
  expectPoison(found, 0, firstRow * words);
  expectPoison(found, (firstRow + logits.rows) * words, found.length);
  return next.map((_, r) => {
    const own = found.subarray((firstRow + r) * words, (firstRow + r + 1) * words);
    const floats = asFloats(own);
    return { normalizer: floats[0]!, nextLogit: floats[1]!, topTokens: [...own.subarray(2, 2 + top)], topLogits: [...floats.subarray(2 + top)] };
  });
}

/** Everything but the normalizer is a matter of choosing, so it is exact. -0 and 0 are the same number. */
async function expectScores(device: Device, logits: Matrix, next: Next, top: number): Promise<void> {
  const expected = oracle.tokenScores(logits, next, top);
  const found = await scoresOnDevice(device, logits, next, top);
  for (const [r, { normalizer, nextLogit, topTokens, topLogits }] of expected.entries()) {
    const at = `row ${r} of [${logits.rows}, ${logits.columns}], k = ${top}`;
    expect(found[r]!.topTokens, at).toEqual(topTokens);
    expect(found[r]!.topLogits.map((v) => v + 0), at).toEqual(topLogits.map((v) => v + 0));
    expect(found[r]!.nextLogit, at).toBe(nextLogit);
    // Terms are summed in f32; the sum is at least 1, so its relative error is about the logarithm's absolute one.
    expect(difference(found[r]!.normalizer, normalizer), at).toBeLessThan(1e-6);
  }
}

/** Relative above 1, absolute below. */
const difference = (actual: number, expected: number): number => (actual === expected ? 0 : Math.abs(actual - expected) / Math.max(1, Math.abs(expected)));

describe.each(adapters)('token scores on $name', (adapter) => {
  const rig = useDevice(adapter);

  it.each([[1, 1], [5, 5], [21, 20], [255, 20], [256, 1], [257, 0], [1000, 5], [9973, 20]])('of %i logits, the %i largest, agree with the oracle', async (vocabulary, top) => {
    const random = testRandom();
    for (const scale of [1, 0.01, 20]) {
      const logits = randomMatrix(random, random.integer(1, 9), vocabulary, 'f32', scale);
      const next = Array.from({ length: logits.rows }, () => (random.uniform() < 0.3 ? null : random.integer(0, vocabulary - 1)));
      await expectScores(rig, logits, next, top);
    }
  });

  it('of the largest vocabulary agree with the oracle', async () => {
    const random = testRandom();
    for (const vocabulary of [151_936, 262_144]) {
      await expectScores(rig, randomMatrix(random, 2, vocabulary, 'f32', 3), [vocabulary - 1, null], 20);
    }
  }, 60_000);

  it('tell the smaller token first among equal logits, wherever they stand', async () => {
    const random = testRandom();
    for (const values of [1, 2, 7]) {
      const logits = matrixOf(4, random.integer(300, 900), () => random.integer(1, values) - 4);
      await expectScores(rig, logits, [0, 1, 2, null], 20);
    }
    await expectScores(rig, matrixOf(2, 600, (_, c) => (c % 2 === 0 ? -0 : 0)), [0, 1], 20);
  });

  it('of the largest logits all with one thread, 256 apart, are all of them', async () => {
    const logits = matrixOf(1, 256 * 30, (_, c) => (c % 256 === 77 ? 100 + (c % 13) : c / 2 ** 14));
    await expectScores(rig, logits, [77], 20);
  });

  it('of logits that are -infinity hold no NaN', async () => {
    const few = matrixOf(3, 700, (r, c) => (c % 350 === r ? r - c : -Infinity));
    await expectScores(rig, few, [0, 1, 5], 20);
    await expectScores(rig, matrixOf(1, 700, () => -Infinity), [5], 3);
  });

  it('of logits far apart, huge and tiny, do not overflow', async () => {
    await expectScores(rig, matrixOf(3, 300, (r, c) => Math.fround([3e38, -3e38, 1e-42][r]! * (1 - c / 600))), [299, 0, null], 20);
  });
});

it('more of the largest than there are logits are refused', () => {
  const nothing = undefined as never;
  expect(() => tokenScores(nothing, nothing, { rows: 1, vocabulary: 3, top: 4, firstRow: 0, logits: nothing, next: nothing, scores: nothing })).toThrow('the 4 largest of 3 logits');
});
