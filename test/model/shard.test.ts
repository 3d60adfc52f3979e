import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/model/config.ts';
import { randomWeights } from '../../src/model/random-weights.ts';
import { partition, shardHeads, shardLayers, shardWidth, sliceColumns, sliceRows, splitHeads, splitLayers, splitWidth, type IndexRange } from '../../src/model/shard.ts';
import type { RawTensor, StoredDtype } from '../../src/model/types.ts';
import { messageOf, TINY } from './folders.ts';

const sum = (list: readonly number[]): number => list.reduce((total, value) => total + value, 0);
const indices = ({ first, count }: IndexRange): number[] => Array.from({ length: count }, (_, i) => first + i);
const upTo = (end: number): number[] => Array.from({ length: end }, (_, i) => i);

describe('a partition', () => {
  it('covers everything once and in order, in parts that differ by one at most, the larger first', () => {
    fc.assert(fc.property(fc.nat(200), fc.integer({ min: 1, max: 12 }), (total, parts) => {
      const ranges = partition(total, parts);
      expect(ranges).toHaveLength(parts);
      expect(ranges.flatMap(indices)).toEqual(upTo(total));
      const sizes = ranges.map(({ count }) => count);
      expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
      expect(sizes[0]! - sizes.at(-1)!).toBeLessThanOrEqual(1);
    }));
  });
});

/** Elements as stored: the value of each is its place. */
function counting(dtype: StoredDtype, shape: readonly number[]): RawTensor {
  const values = upTo(shape.reduce((product, size) => product * size, 1));
  return { dtype, shape, bytes: new Uint8Array((dtype === 'F32' ? Float32Array.from(values) : Uint16Array.from(values)).buffer) };
}
const elements = ({ dtype, bytes }: RawTensor): number[] => {
  const own = bytes.slice().buffer; // a slice may begin anywhere
  return [...(dtype === 'F32' ? new Float32Array(own) : new Uint16Array(own))];
};

describe.each(['F32', 'F16', 'BF16'] as const)('slices of a matrix in %s', (dtype) => {
  const matrix = counting(dtype, [5, 7]);

  it.each([[0, 5], [0, 2], [3, 2], [4, 1], [2, 0]])('rows from %i, %i of them', (first, count) => {
    const slice = sliceRows(matrix, { first, count });
    expect(slice.shape).toEqual([count, 7]);
    expect(elements(slice)).toEqual(indices({ first, count }).flatMap((row) => upTo(7).map((column) => row * 7 + column)));
  });

  it.each([[0, 7], [0, 3], [3, 4], [6, 1], [2, 0]])('columns from %i, %i of them', (first, count) => {
    const slice = sliceColumns(matrix, { first, count });
    expect(slice.shape).toEqual([5, count]);
    expect(elements(slice)).toEqual(upTo(5).flatMap((row) => indices({ first, count }).map((column) => row * 7 + column)));
  });

  it('elements of a vector, and slices of slices', () => {
    expect(elements(sliceRows(counting(dtype, [9]), { first: 2, count: 3 }))).toEqual([2, 3, 4]);
    const inner = sliceColumns(sliceRows(matrix, { first: 1, count: 3 }), { first: 2, count: 2 });
    expect(elements(inner)).toEqual([9, 10, 16, 17, 23, 24]);
  });
});

describe('splitting heads', () => {
  const split = (numAttentionHeads: number, numKeyValueHeads: number, world: number) => splitHeads({ numAttentionHeads, numKeyValueHeads }, world);

  it('gives every query head to one rank, with its key-value head, whatever the numbers', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 8 }), (kvHeads, group, world) => {
      fc.pre(world <= kvHeads * group);
      const ranges = split(kvHeads * group, kvHeads, world);
      expect(ranges).toHaveLength(world);
      expect(ranges.flatMap(({ query }) => indices(query))).toEqual(upTo(kvHeads * group));
      for (const { query, keyValue } of ranges) {
        expect(query.count).toBeGreaterThan(0);
        expect(indices(keyValue)).toEqual([...new Set(indices(query).map((head) => Math.floor(head / group)))]);
        // A rank's heads form groups of one size, as the model's do: query h of the part reads key h / (its group).
        expect(query.count % keyValue.count).toBe(0);
        for (const [i, head] of indices(query).entries()) expect(keyValue.first + Math.floor(i / (query.count / keyValue.count))).toBe(Math.floor(head / group));
      }
    }), { numRuns: 400 });
  });

  it('keeps groups whole while there are enough, the larger parts first', () => {
    expect(split(12, 3, 2)).toEqual([{ query: { first: 0, count: 8 }, keyValue: { first: 0, count: 2 } }, { query: { first: 8, count: 4 }, keyValue: { first: 2, count: 1 } }]);
  });

  it('has more ranks than key-value heads share one', () => {
    expect(split(6, 2, 3)).toEqual([
      { query: { first: 0, count: 2 }, keyValue: { first: 0, count: 1 } }, { query: { first: 2, count: 1 }, keyValue: { first: 0, count: 1 } },
      { query: { first: 3, count: 3 }, keyValue: { first: 1, count: 1 } },
    ]);
  });

  it('refuses more ranks than there are heads', async () => {
    expect(await messageOf(async () => split(4, 2, 5))).toBe('InputError: --ranks: 5 ranks cannot split 4 attention heads; expected at most one rank a head, or a strategy that does not split heads');
  });
});

describe('splitting the width of experts', () => {
  it('cuts at multiples of eight columns and covers all of them', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 8 }), (moeIntermediateSize, world) => {
      fc.pre(world <= Math.ceil(moeIntermediateSize / 8));
      const ranges = splitWidth({ moeIntermediateSize }, world);
      expect(ranges.flatMap(indices)).toEqual(upTo(moeIntermediateSize));
      for (const { first, count } of ranges) {
        expect(first % 8).toBe(0);
        expect(count).toBeGreaterThan(0);
      }
    }));
  });

  it('refuses more ranks than there are units', async () => {
    expect(await messageOf(async () => splitWidth({ moeIntermediateSize: 20 }, 4))).toBe('InputError: --ranks: 4 ranks cannot split an expert width of 20; expected at most 3, or a strategy that does not split experts');
  });
});

/** Every way to cut `layers` into `stages` runs, none empty, as the starts of the runs. */
const everyCut = (layers: number, stages: number): number[][] =>
  stages === 1 ? [[0]] : upTo(layers).slice(stages - 1).flatMap((cut) => everyCut(cut, stages - 1).map((starts) => [...starts, cut]));

describe('splitting layers', () => {
  it('makes the most expensive stage as cheap as any split can', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 9 }), fc.integer({ min: 1, max: 5 }), (costs, world) => {
      fc.pre(world <= costs.length);
      const worst = (ranges: readonly IndexRange[]): number => Math.max(...ranges.map((range) => sum(indices(range).map((layer) => costs[layer]!))));
      const rangesOf = (starts: readonly number[]) => starts.map((first, i) => ({ first, count: (starts[i + 1] ?? costs.length) - first }));
      const ranges = splitLayers(costs, world);
      expect(ranges).toHaveLength(world);
      expect(ranges.flatMap(indices)).toEqual(upTo(costs.length));
      expect(Math.min(...ranges.map(({ count }) => count))).toBeGreaterThan(0);
      expect(worst(ranges)).toBe(Math.min(...everyCut(costs.length, world).map((starts) => worst(rangesOf(starts)))));
    }), { numRuns: 300 });
  });

  it('refuses more stages than there are layers', async () => {
    expect(await messageOf(async () => splitLayers([1, 1], 3))).toBe('InputError: --ranks: 3 pipeline stages asked for, but the model has 2 layers; expected at most one stage a layer');
  });
});

describe('a part of a model', () => {
  const config = parseConfig({
    ...TINY, hidden_size: 16, num_hidden_layers: 4, mlp_only_layers: [1], num_attention_heads: 6, num_key_value_heads: 3, head_dim: 8, moe_intermediate_size: 20, attention_bias: true,
  });

  it('with some heads has their projections, their biases, and the output bias on the first rank alone', async () => {
    const whole = await randomWeights(config);
    const layer = await whole.layer(2);
    const [d, H] = [8, 16];
    for (const [rank, heads] of splitHeads(config, 2).entries()) {
      const view = shardHeads(whole, heads);
      expect([view.config.numAttentionHeads, view.config.numKeyValueHeads]).toEqual(rank === 0 ? [4, 2] : [2, 1]);
      const part = await view.layer(2);
      const q = indices(heads.query).flatMap((head) => upTo(d).map((i) => head * d + i));
      const kv = indices(heads.keyValue).flatMap((head) => upTo(d).map((i) => head * d + i));
      const rows = (tensor: RawTensor, list: readonly number[]) => list.flatMap((row) => elements(tensor).slice(row * H, (row + 1) * H));
      expect(elements(part.qProj)).toEqual(rows(layer.qProj, q));
      expect(elements(part.kProj)).toEqual(rows(layer.kProj, kv));
      expect(elements(part.vProj)).toEqual(rows(layer.vProj, kv));
      expect(elements(part.oProj)).toEqual(upTo(H).flatMap((row) => q.map((column) => elements(layer.oProj)[row * 6 * d + column]!)));
      expect(elements(part.qBias!)).toEqual(q.map((i) => elements(layer.qBias!)[i]));
      expect(elements(part.vBias!)).toEqual(kv.map((i) => elements(layer.vBias!)[i]));
      expect(part.oBias).toEqual(rank === 0 ? layer.oBias : undefined);
      expect([part.router, part.qNorm, part.inputNorm]).toEqual([layer.router, layer.qNorm, layer.inputNorm]);
    }
  });

  it('with some columns of experts has rows of gate and up and columns of down; dense layers stay whole', async () => {
    const whole = await randomWeights(config);
    const expert = await whole.expert(0, 3);
    const range = splitWidth(config, 2)[1]!;
    const view = shardWidth(whole, range);
    expect([range, view.config.moeIntermediateSize]).toEqual([{ first: 16, count: 4 }, 4]);
    const part = await view.expert(0, 3);
    expect(elements(part.up)).toEqual(elements(expert.up).slice(16 * 16, 20 * 16));
    expect(elements(part.gate)).toEqual(elements(expert.gate).slice(16 * 16, 20 * 16));
    expect(elements(part.down)).toEqual(upTo(16).flatMap((row) => elements(expert.down).slice(row * 20 + 16, row * 20 + 20)));
    expect((await view.layer(1)).mlp).toEqual((await whole.layer(1)).mlp);
  });

  it('with some layers counts them from 0, and keeps embedding, head and name', async () => {
    const whole = await randomWeights(config);
    const view = shardLayers(whole, { first: 1, count: 2 });
    expect([view.config.numHiddenLayers, view.config.layerIsMoe, view.modelHash]).toEqual([2, [false, true], whole.modelHash]);
    expect(await view.layer(0)).toEqual(await whole.layer(1));
    expect(await view.expert(1, 2)).toEqual(await whole.expert(2, 2));
    expect(await view.headRows(2, 3)).toEqual(await whole.headRows(2, 3));
    expect(await view.embeddingRows(2, 3)).toEqual(await whole.embeddingRows(2, 3));
  });
});
