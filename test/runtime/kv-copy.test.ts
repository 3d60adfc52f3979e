import { describe, expect, it } from 'vitest';
import { kvBytes } from '../../src/runtime/kernels/attention.ts';
import { kvCopy } from '../../src/runtime/kernels/kv-copy.ts';
import { copyBlocks } from '../../src/runtime/reference/kv-copy.ts';
import { adapters, useDevice } from './adapters.ts';
import { bytesBuffer, readWords, u32Buffer } from './buffers.ts';
import { testRandom, type Random } from './random.ts';

/** Any bits, those of NaNs among them: what is moved is no number. */
const anyWords = (random: Random, count: number): Uint32Array => Uint32Array.from({ length: count }, () => random.uniform() * 2 ** 32);

const bufferOf = (gpu: Parameters<typeof bytesBuffer>[0], words: Uint32Array): GPUBuffer => bytesBuffer(gpu, new Uint8Array(words.buffer));

/** Megabytes of words are too many for a comparison that could print them. */
function expectSame(actual: Uint32Array, expected: Uint32Array): void {
  expect(actual.length).toBe(expected.length);
  expect(expected.findIndex((word, i) => word !== actual[i]), 'the first word that differs').toBe(-1);
}

interface Case {
  readonly fromBlocks: number;
  readonly toBlocks: number;
  readonly count: number;
  /** Pairs before the first one that counts. */
  readonly first: number;
  readonly blockBytes: number;
}

describe.each(adapters)('copies of KV blocks on $name', (adapter) => {
  const rig = useDevice(adapter);

  async function check(random: Random, { fromBlocks, toBlocks, count, first, blockBytes }: Case): Promise<void> {
    const { gpu, recorder } = rig;
    const words = blockBytes / 4;
    const [fromKeys, fromValues] = [anyWords(random, fromBlocks * words), anyWords(random, fromBlocks * words)];
    const [toKeys, toValues] = [anyWords(random, toBlocks * words), anyWords(random, toBlocks * words)];
    const targets = random.shuffled(Array.from({ length: toBlocks }, (_, i) => i)).slice(0, count);
    const pairs = targets.map((target) => [random.integer(0, fromBlocks - 1), target] as const);
    const others = Array.from({ length: 2 * first }, () => random.integer(0, Math.min(fromBlocks, toBlocks) - 1));
    const to = { keys: bufferOf(gpu, toKeys), values: bufferOf(gpu, toValues) };
    const from = { keys: bufferOf(gpu, fromKeys), values: bufferOf(gpu, fromValues) };
    kvCopy(gpu, recorder, { from, to, pairs: u32Buffer(gpu, [...others, ...pairs.flat(), 0, 0]), first, count, blockBytes });
    recorder.submit();
    expectSame(await readWords(gpu, to.keys), copyBlocks(fromKeys, toKeys, words, pairs));
    expectSame(await readWords(gpu, to.values), copyBlocks(fromValues, toValues, words, pairs));
  }

  it.each(['f32', 'f16'] as const)('move the pairs they are given, whole blocks of %s, and touch no other block', async (type) => {
    const random = testRandom();
    for (let i = 0; i < 8; i++) {
      const [toBlocks, headDim] = [random.integer(1, 30), 8 * random.integer(1, 16)];
      await check(random, {
        fromBlocks: random.integer(1, 30), toBlocks, count: random.integer(1, toBlocks), first: random.integer(0, 5), blockBytes: kvBytes(1, random.integer(1, 4), headDim, type),
      });
    }
  });

  it('move more than one line of workgroups holds', async () => {
    const blockBytes = kvBytes(1, 1, 8, 'f16');
    const count = (16384 * 64 * 16) / blockBytes + 3;
    await check(testRandom(), { fromBlocks: 9, toBlocks: count + 5, count, first: 1, blockBytes });
  }, 30_000);

  it('of no pairs are nothing', () => check(testRandom(), { fromBlocks: 2, toBlocks: 3, count: 0, first: 0, blockBytes: 256 }));
});
