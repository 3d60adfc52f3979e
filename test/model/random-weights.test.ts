import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/model/config.ts';
import { bf16ToF32, f16ToF32 } from '../../src/model/float16.ts';
import { presetConfig } from '../../src/model/presets.ts';
import { randomWeights } from '../../src/model/random-weights.ts';
import type { RawTensor } from '../../src/model/types.ts';
import { messageOf, TINY } from './folders.ts';

const config = parseConfig({ ...TINY, hidden_size: 64, moe_intermediate_size: 48, vocab_size: 300 });
const values = ({ dtype, bytes }: RawTensor): number[] => {
  if (dtype === 'F32') return [...new Float32Array(bytes.buffer)];
  return [...new Uint16Array(bytes.buffer)].map(dtype === 'F16' ? f16ToF32 : bf16ToF32);
};
const moments = (numbers: number[]): [mean: number, std: number] => {
  const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  return [mean, Math.sqrt(numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / numbers.length)];
};

describe('random weights', () => {
  it('are the same in any order of reading', async () => {
    const [a, b] = [await randomWeights(config, { seed: 3 }), await randomWeights(config, { seed: 3 })];
    const [whole, expert] = [values(await a.embeddingRows(0, 300)), await a.expert(0, 2)];
    expect(await b.expert(0, 2)).toEqual(expert);
    expect(values(await b.embeddingRows(17, 5))).toEqual(whole.slice(17 * 64, 22 * 64));
    expect(values(await b.embeddingRows(0, 300))).toEqual(whole);
  });

  it('differ by seed, tensor, layer and row, and so does their hash', async () => {
    const [a, b] = [await randomWeights(config), await randomWeights(config, { seed: 1 })];
    const firsts = [a.embeddingRows(0, 1), a.embeddingRows(1, 1), a.headRows(0, 1), b.embeddingRows(0, 1),
      a.layer(0).then((layer) => layer.kProj), a.layer(1).then((layer) => layer.kProj), a.layer(0).then((layer) => layer.vProj),
      a.expert(0, 0).then((e) => e.gate), a.expert(0, 0).then((e) => e.up), a.expert(0, 1).then((e) => e.gate)];
    const first16 = (await Promise.all(firsts)).map((tensor) => values(tensor).slice(0, 16).join());
    expect(new Set(first16).size).toBe(firsts.length);
    expect(a.modelHash).not.toBe(b.modelHash);
    expect((await randomWeights(config, { dtype: 'F16' })).modelHash).not.toBe(a.modelHash);
  });

  it.each(['F32', 'F16', 'BF16'] as const)('have standard deviation 1 / sqrt(fan-in) and norms about 1 as %s', async (dtype) => {
    const weights = await randomWeights(config, { dtype });
    const [mean, std] = moments(values(await weights.embeddingRows(0, 300)));
    expect(Math.abs(mean)).toBeLessThan(0.005);
    expect(std * Math.sqrt(64)).toBeCloseTo(1, 1);
    const down = moments(values((await weights.expert(0, 0)).down));
    expect(down[1] * Math.sqrt(48)).toBeCloseTo(1, 1);
    const norm = moments(values(await weights.finalNorm()));
    expect(norm[0]).toBeCloseTo(1, 1);
    expect(weights.config.dtype).toBe(dtype);
  });

  it('round the same numbers to each dtype', async () => {
    const [exact, half] = await Promise.all((['F32', 'BF16'] as const).map(async (dtype) =>
      values(await (await randomWeights(config, { dtype })).headRows(0, 4))));
    exact!.forEach((value, i) => expect(Math.abs(half![i]! - value)).toBeLessThanOrEqual(Math.abs(value) * 2 ** -8));
  });

  it('have uncorrelated rows', async () => {
    const rows = values(await (await randomWeights(config)).embeddingRows(0, 300));
    const dot = (r: number, s: number): number => rows.slice(r * 64, r * 64 + 64).reduce((sum, x, c) => sum + x * rows[s * 64 + c]!, 0);
    const [mean, std] = moments(Array.from({ length: 299 }, (_, r) => dot(r, r + 1)));
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(std).toBeCloseTo(1 / 8, 1);
  });
});

describe('presets', () => {
  it('have the published shapes', () => {
    expect(presetConfig('qwen3-30b-a3b')).toMatchObject({
      hiddenSize: 2048, numHiddenLayers: 48, numAttentionHeads: 32, numKeyValueHeads: 4, headDim: 128, moeIntermediateSize: 768,
      numExperts: 128, numExpertsPerTok: 8, normTopkProb: true, vocabSize: 151936, ropeTheta: 1e6, dtype: 'BF16', tieWordEmbeddings: false,
    });
    expect(presetConfig('qwen3-235b-a22b')).toMatchObject({ hiddenSize: 4096, numHiddenLayers: 94, numAttentionHeads: 64, moeIntermediateSize: 1536 });
  });

  it('can be cut to a number of layers', async () => {
    const cut = presetConfig('qwen3-235b-a22b', { layers: 3 });
    expect([cut.numHiddenLayers, cut.layerIsMoe]).toEqual([3, [true, true, true]]);
    expect(await messageOf(() => presetConfig('qwen3-235b-a22b', { layers: 95 }))).toMatchInlineSnapshot(`"InputError: preset: qwen3-235b-a22b: cannot have 95 layers; expected 1 to 94"`);
    expect(await messageOf(() => presetConfig('qwen4'))).toMatchInlineSnapshot(`"InputError: preset: qwen4: is unknown; expected qwen3-30b-a3b or qwen3-235b-a22b"`);
  });
});
