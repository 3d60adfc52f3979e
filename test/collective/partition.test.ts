import { describe, expect, it } from 'vitest';
import { partitionExperts } from '../../src/collective/partition.ts';

describe('the partition of experts over ranks', () => {
  it('covers every expert once, in order, with sizes that differ by at most one', () => {
    for (let world = 1; world <= 8; world++) {
      for (const experts of [8, 9, 13, 60, 128]) {
        const shards = partitionExperts(experts, world);
        const owned = shards.flatMap(({ first, count }) => Array.from({ length: count }, (_, e) => first + e));
        expect(owned).toEqual(Array.from({ length: experts }, (_, e) => e));
        const sizes = shards.map((shard) => shard.count);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }
    }
  });

  it('refuses more ranks than experts, and numbers of ranks that are none', () => {
    expect(() => partitionExperts(4, 5)).toThrowErrorMatchingInlineSnapshot(`[InputError: --ranks: 5 ranks asked for, but the model has 4 experts a layer; each rank must own at least one]`);
    expect(() => partitionExperts(16, 9)).toThrowErrorMatchingInlineSnapshot(`[InputError: --ranks: 9 ranks asked for; expected a whole number from 1 to 8]`);
    expect(() => partitionExperts(16, 0)).toThrowErrorMatchingInlineSnapshot(`[InputError: --ranks: 0 ranks asked for; expected a whole number from 1 to 8]`);
    expect(() => partitionExperts(16, 1.5)).toThrowErrorMatchingInlineSnapshot(`[InputError: --ranks: 1.5 ranks asked for; expected a whole number from 1 to 8]`);
  });
});
