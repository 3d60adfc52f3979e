/** Names of blocks: of the whole prefix, and as good as unique. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blockHashes } from '../../src/engine/prefix/block-hash.ts';
import { BLOCK_TOKENS } from '../../src/runtime/kernels/attention.ts';

const token = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const tokens = fc.array(token, { maxLength: 100 });

describe('the hashes of a sequence', () => {
  it('are one for each full block, whole numbers that a float64 holds', () => {
    fc.assert(fc.property(tokens, (sequence) => {
      const hashes = blockHashes(sequence);
      expect(hashes.length).toBe(Math.floor(sequence.length / BLOCK_TOKENS));
      expect([...hashes].every((hash) => Number.isSafeInteger(hash) && hash >= 0)).toBe(true);
    }));
  });

  it('cover the tokens up to the block\'s end and no other: a common prefix has common hashes, whatever follows', () => {
    fc.assert(fc.property(tokens, tokens, tokens, (prefix, a, b) => {
      const common = blockHashes(prefix);
      expect(blockHashes([...prefix, ...a]).subarray(0, common.length)).toEqual(common);
      expect(blockHashes([...prefix, ...b]).subarray(0, common.length)).toEqual(common);
    }));
  });

  it('are others from the block on in which a token is another', () => {
    fc.assert(fc.property(fc.array(token, { minLength: 16, maxLength: 100 }), fc.nat(), token, (sequence, at, other) => {
      const place = at % (Math.floor(sequence.length / BLOCK_TOKENS) * BLOCK_TOKENS);
      fc.pre(sequence[place] !== other);
      const before = blockHashes(sequence);
      const after = blockHashes(sequence.with(place, other));
      const block = Math.floor(place / BLOCK_TOKENS);
      expect(after.subarray(0, block)).toEqual(before.subarray(0, block));
      expect([...after.subarray(block)].some((hash, i) => hash === before[block + i])).toBe(false);
    }));
  });

  it('are the same in every process: what is pinned here is what other ranks compute', () => {
    const sequence = Uint32Array.from({ length: 48 }, (_, i) => (i * 7919) % 151_936);
    expect([...blockHashes(sequence)]).toMatchInlineSnapshot(`
      [
        4061099127553276,
        7261259936126052,
        3262653821149719,
      ]
    `);
    expect(blockHashes([...sequence])).toEqual(blockHashes(sequence));
  });
});

/** How many of `count` sequences have the last hash of another one. */
function collisions(count: number, length: number, fill: (sequence: Uint32Array, i: number) => void): number {
  const sequence = new Uint32Array(length);
  const hashes = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    fill(sequence, i);
    hashes[i] = blockHashes(sequence).at(-1) as number;
  }
  hashes.sort();
  return hashes.reduce((found, hash, i) => found + (i > 0 && hash === hashes[i - 1] ? 1 : 0), 0);
}

// A million ideal hashes of 53 bits have a collision with probability 5e-5; inputs are fixed, so a run is as good as any other.
describe('of a million different prefixes no two have the same hash', () => {
  const MILLION = 1 << 20;

  it('of random tokens', () => {
    let state = 1;
    const next = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) >>> 3;
    expect(collisions(MILLION, 16, (sequence) => sequence.forEach((_, i) => { sequence[i] = next() % 151_936; }))).toBe(0);
  });

  it.each([[0, 1], [14, 15], [0, 15], [7, 8]])('that differ in tokens %i and %i only', (first, second) => {
    expect(collisions(MILLION, 16, (sequence, i) => { sequence[first] = (i & 1023) * 64; sequence[second] = (i >>> 10) * 73; })).toBe(0);
  });

  it('that differ in one token of the first block and one of the third', () => {
    expect(collisions(MILLION, 48, (sequence, i) => { sequence[3] = i & 1023; sequence[40] = i >>> 10; })).toBe(0);
  });

  it('of zeros and ones', () => {
    expect(collisions(MILLION, 32, (sequence, i) => sequence.forEach((_, k) => { sequence[k] = k < 20 ? (i >>> k) & 1 : 0; }))).toBe(0);
  });

  it('of one token repeated, and of tokens that count up', () => {
    expect(collisions(MILLION, 16, (sequence, i) => { sequence.fill(i); })).toBe(0);
    expect(collisions(MILLION, 16, (sequence, i) => sequence.forEach((_, k) => { sequence[k] = i + k; }))).toBe(0);
  });
});
