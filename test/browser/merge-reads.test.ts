import fc from 'fast-check';
import { expect, it } from 'vitest';
import { mergeReads } from '../../src/browser/merge-reads.ts';

const SOURCE = Uint8Array.from({ length: 64 }, (_, i) => (i * 37) % 256);
const part = (offset: number, length: number): Uint8Array => SOURCE.slice(offset, offset + length);

it('every reader gets its own bytes, whatever is asked for together', async () => {
  const range = fc.tuple(fc.constantFrom('a', 'b'), fc.nat(40), fc.integer({ min: 1, max: 24 }));
  await fc.assert(fc.asyncProperty(fc.array(range, { maxLength: 12 }), async (ranges) => {
    const read = mergeReads(async (path, offset, length) => part(offset, length).map((byte) => (path === 'a' ? byte : 255 - byte)));
    const answers = await Promise.all(ranges.map(([path, offset, length]) => read(path, offset, length)));
    expect(answers).toEqual(ranges.map(([path, offset, length]) => part(offset, length).map((byte) => (path === 'a' ? byte : 255 - byte))));
  }));
});

it('neighbours of one file are one request, in whatever order they are asked for; gaps and other files are not bridged', async () => {
  const asked: string[] = [];
  const read = mergeReads(async (path, offset, length) => {
    asked.push(`${path} ${offset}+${length}`);
    return part(offset, length);
  });
  await Promise.all([read('a', 8, 4), read('a', 0, 8), read('b', 12, 4), read('a', 12, 4), read('a', 20, 4)]);
  expect(asked).toEqual(['a 0+16', 'a 20+4', 'b 12+4']);
});

it('a request has at most 16 MiB, unless one reader alone asks for more', async () => {
  const asked: string[] = [];
  const read = mergeReads(async (_, offset, length) => {
    asked.push(`${offset}+${length}`);
    return new Uint8Array(length);
  });
  const mib = 2 ** 20;
  await Promise.all([read('a', 0, 10 * mib), read('a', 10 * mib, 6 * mib), read('a', 16 * mib, 20 * mib), read('a', 36 * mib, mib)]);
  expect(asked).toEqual([`0+${16 * mib}`, `${16 * mib}+${20 * mib}`, `${36 * mib}+${mib}`]);
});

it('what is asked for later is a request of its own', async () => {
  const asked: number[] = [];
  const read = mergeReads(async (_, offset, length) => {
    asked.push(offset);
    return part(offset, length);
  });
  await read('a', 0, 4);
  await read('a', 4, 4);
  expect(asked).toEqual([0, 4]);
});

it('a request that fails fails for everyone who is in it, and for nobody else', async () => {
  const read = mergeReads(async (path, offset, length) => {
    if (path === 'a') throw new Error('the line is cut');
    return part(offset, length);
  });
  const outcomes = await Promise.allSettled([read('a', 0, 4), read('a', 4, 4), read('b', 8, 4)]);
  expect(outcomes.map((outcome) => (outcome.status === 'rejected' ? String(outcome.reason) : outcome.value)))
    .toEqual(['Error: the line is cut', 'Error: the line is cut', part(8, 4)]);
});
