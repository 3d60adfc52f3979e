import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jointPasses, passShape, splitIntoBatches } from '../../src/cluster/batching.ts';
import { rankThreads } from '../../src/cluster/spawn.ts';

const tokensOf = (lengths: readonly number[], batch: readonly number[]): number => batch.reduce((sum, index) => sum + (lengths[index] as number), 0);

describe('batches', () => {
  it('are as equal as they can be, within their bound, and hold every sequence once', () => {
    const lengths = [5, 100, 7, 40, 40, 60, 1];
    const batches = splitIntoBatches(lengths, 100);
    expect(batches).toEqual([[1], [3, 4], [5, 2, 0, 6]]);
    expect(batches.flat().sort()).toEqual(lengths.map((_, index) => index));
  });

  it('give a sequence that is longer than the bound a batch of its own', () => {
    expect(splitIntoBatches([10, 500, 10], 100)).toEqual([[1], [0], [2]]);
  });

  it('are none for no sequences', () => {
    expect(splitIntoBatches([], 100)).toEqual([]);
  });

  it('never lose or repeat a sequence, keep to their bound, and come in multiples where there are sequences enough', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 60 }), fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 8 }), (lengths, bound, multiple) => {
      const batches = splitIntoBatches(lengths, bound, multiple);
      expect(batches.flat().toSorted((a, b) => a - b)).toEqual(lengths.map((_, index) => index));
      expect(batches.filter((batch) => batch.length > 1 && tokensOf(lengths, batch) > bound)).toEqual([]);
      expect(batches.length === lengths.length || batches.length % multiple === 0).toBe(true);
    }));
  });
});

describe('passes of all ranks together', () => {
  it('have a batch for each rank where ranks have sequences of their own, with two passes in the memory of one', () => {
    const shape = passShape('split', { ofAll: false, ranks: 2, batchTokens: 100, totalTokens: 200 });
    expect(shape).toEqual({ batchTokens: 50, parts: 2, inFlight: 2 });
    expect(jointPasses([50, 50, 30, 20, 25, 25], shape)).toEqual([[[0], [1]], [[2, 3], [4, 5]]]);
  });

  it('have one batch for all where heads are split', () => {
    expect(passShape('split', { ofAll: true, ranks: 4, batchTokens: 100, totalTokens: 1000 })).toEqual({ batchTokens: 200, parts: 1, inFlight: 2 });
  });

  it('are many and small in a pipeline, but not too small for its kernels', () => {
    expect(passShape('stages', { ofAll: true, ranks: 2, batchTokens: 4096, totalTokens: 16_000 })).toEqual({ batchTokens: 1000, parts: 1, inFlight: 3 });
    expect(passShape('stages', { ofAll: true, ranks: 2, batchTokens: 4096, totalTokens: 1000 }).batchTokens).toBe(256);
  });
});

it('a rank gets its share of the cores, at least one', () => {
  expect([rankThreads(1, 2), rankThreads(2, 2), rankThreads(3, 2), rankThreads(3, 16)]).toEqual([2, 1, 1, 5]);
});
