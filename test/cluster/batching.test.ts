import { describe, expect, it } from 'vitest';
import { splitIntoBatches } from '../../src/cluster/batching.ts';
import { rankThreads } from '../../src/cluster/spawn.ts';

describe('batches', () => {
  it('are filled longest first, up to their bound, and hold every sequence once', () => {
    const lengths = [5, 100, 7, 40, 40, 60, 1];
    const batches = splitIntoBatches(lengths, 100);
    expect(batches).toEqual([[1], [5, 3], [4, 2, 0, 6]]);
    expect(batches.flat().sort()).toEqual(lengths.map((_, index) => index));
  });

  it('give a sequence that is longer than the bound a batch of its own', () => {
    expect(splitIntoBatches([10, 500, 10], 100)).toEqual([[1], [0, 2]]);
  });

  it('are none for no sequences', () => {
    expect(splitIntoBatches([], 100)).toEqual([]);
  });
});

it('a rank gets its share of the cores, at least one', () => {
  expect([rankThreads(1, 2), rankThreads(2, 2), rankThreads(3, 2), rankThreads(3, 16)]).toEqual([2, 1, 1, 5]);
});
