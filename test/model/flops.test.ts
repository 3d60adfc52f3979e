import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/model/config.ts';
import { flopsByPart, layerExpertBytes, prefillFlops, rankWeightBytes, sharedParameters } from '../../src/model/flops.ts';
import { presetConfig } from '../../src/model/presets.ts';
import { TINY } from './folders.ts';

/** Counts multiply-adds by walking over what is multiplied, token by token. */
function counted(S: number, P: number, C: number, shortcut: boolean): number {
  let total = 0;
  const matmul = (n: number, k: number): void => { total += 2 * n * k; };
  for (const layer of [0, 1]) {
    for (let t = 0; t < S; t++) {
      matmul(2 * 1 * 4, 6);
      if (shortcut && layer === 1 && t < S - 1) continue;
      matmul(2 * 4, 6);
      for (let head = 0; head < 2; head++) {
        for (let s = 0; s <= P + t; s++) total += 2 * (2 * 4);
      }
      matmul(6, 2 * 4);
      if (layer === 0) {
        matmul(4, 6);
        for (let k = 0; k < 2; k++) for (let matrix = 0; matrix < 3; matrix++) matmul(3, 6);
      } else for (let matrix = 0; matrix < 3; matrix++) matmul(5, 6);
    }
  }
  matmul(C, 6);
  return total;
}

describe('FLOPs', () => {
  const config = parseConfig(TINY);
  it.each([[1, 0, 1], [7, 0, 2], [7, 5, 0], [32, 16, 10]])('of %i tokens after %i, with %i candidates, are what is multiplied', (S, P, C) => {
    const work = { newTokens: S, cachedTokens: P, candidates: C };
    expect(prefillFlops(config, work)).toBe(counted(S, P, C, false));
    expect(prefillFlops(config, work, { lastLayerShortcut: true })).toBe(counted(S, P, C, true));
  });

  it('are zero for nothing', () => {
    expect(prefillFlops(config, { newTokens: 0 })).toBe(0);
    expect(prefillFlops(config, { newTokens: 0, cachedTokens: 9 }, { lastLayerShortcut: true })).toBe(0);
  });

  it('of Qwen3-235B-A22B are near twice its active parameters, apart from attention', () => {
    const { attention, ...others } = flopsByPart(presetConfig('qwen3-235b-a22b'), { newTokens: 1 });
    const linear = Object.values(others).reduce((sum, flops) => sum + flops, 0);
    // 22 billion active parameters, of which 2 x 151,936 x 4,096 embed.
    expect(linear / 2).toBeGreaterThan(20.5e9);
    expect(linear / 2).toBeLessThan(21.5e9);
    expect(attention).toBe(94 * 4 * 64 * 128);
  });
});

describe('bytes of weights', () => {
  it('add up to the published numbers of parameters', () => {
    const parameters = (name: string): number => {
      const config = presetConfig(name);
      return sharedParameters(config) + config.numHiddenLayers * layerExpertBytes(config, 1);
    };
    // 30.5 and 235 billion on the model cards; the last digits follow from the shapes.
    expect(parameters('qwen3-30b-a3b')).toBe(30_532_122_624);
    expect(parameters('qwen3-235b-a22b')).toBe(235_093_634_560);
    expect(layerExpertBytes(presetConfig('qwen3-235b-a22b'), 2)).toBe(4_831_838_208);
  });

  it('of a rank are what all share, its own experts and the first layer', () => {
    const config = presetConfig('qwen3-30b-a3b');
    const { shared, shard, firstLayer } = rankWeightBytes(config, 32, 2);
    expect(firstLayer).toBe(1_207_959_552);
    expect(shard).toBe((47 * firstLayer) / 4);
    expect(shared).toBe(2 * sharedParameters(config));
    const all = rankWeightBytes(config, 128, 2);
    expect(all.shared + all.shard + all.firstLayer).toBe(2 * 30_532_122_624);
  });
});
