import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { cachedNumbers } from '../../src/model/attention-cost.ts';
import { expertWeightBytes, flopsByPart, layerFlops } from '../../src/model/flops.ts';
import { presetConfig } from '../../src/model/presets.ts';
import type { ModelConfig } from '../../src/model/types.ts';
import { HARDWARE } from '../../src/sim/hardware.ts';
import { HARDWARE_PRESETS, hardwarePreset, peakOf } from '../../src/sim/presets/hardware.ts';
import { parseHardware } from '../../src/sim/presets/hardware-schema.ts';
import { countParameters, MODEL_PRESETS, modelPreset, type Parameters } from '../../src/sim/presets/models.ts';

const config = (name: string): ModelConfig => modelPreset(name).config;
const count = (name: string): Parameters => countParameters(config(name));
const activeAsPublished = (name: string): number => count(name).active + (modelPreset(name).published.countsEmbedding ? count(name).embedding : 0);

describe('parameters counted from the dimensions', () => {
  /** The number of parameters of the safetensors files, without multi-token prediction: an oracle to the last one. */
  it.each([
    ['qwen3-30b-a3b', 30_532_122_624],
    ['qwen3-235b-a22b', 235_093_634_560],
    ['mixtral-8x7b', 46_702_792_704],
    ['gpt-oss-120b', 116_829_156_672],
    ['deepseek-v3', 671_026_419_200],
  ])('of %s are those of its checkpoint', (name, parameters) => {
    expect(count(name).total).toBe(parameters);
  });

  /** Half of the last digit that is published; Qwen3-30B's 3.35 G are published as 3.3. */
  it.each([
    ['qwen3-30b-a3b', 0.05, 0.06], ['qwen3-235b-a22b', 0.5, 0.5], ['mixtral-8x7b', 0.05, 0.05], ['gpt-oss-120b', 0.05, 0.05], ['deepseek-v3', 0.5, 0.5],
  ])('of %s equal the published totals, all and active, within rounding', (name, totalWithin, activeWithin) => {
    const { published } = modelPreset(name);
    expect(Math.abs(count(name).total - published.totalParameters) / 1e9).toBeLessThan(totalWithin);
    expect(Math.abs(activeAsPublished(name) - published.activeParameters) / 1e9).toBeLessThan(activeWithin);
  });

  it('of gpt-oss are by part what its model card says: experts and routers 114.71, attention 0.96, embedding and head 1.16', () => {
    const { total, attention, embedding } = count('gpt-oss-120b');
    expect((2 * embedding) / 1e9).toBeCloseTo(1.16, 2);
    expect(attention / 1e9).toBeCloseTo(0.96, 2);
    expect(Math.floor((total - attention - 2 * embedding) / 1e7)).toBe(114_71);
  });
});

describe('FLOPs of models that are counted only', () => {
  it('with a sliding window a token sees the window\'s tokens, in the layers that have one', () => {
    const [sliding, full] = [0, 1].map((layer) => layerFlops(config('gpt-oss-120b'), layer, { newTokens: 300 }).attention) as [number, number];
    const pairs = Array.from({ length: 300 }, (_, position) => Math.min(position + 1, 128)).reduce((sum, seen) => sum + seen, 0);
    expect(sliding).toBe(4 * 64 * 64 * pairs);
    expect(full).toBe((4 * 64 * 64 * 300 * 301) / 2);
  });

  it('cached tokens before a window\'s reach cost nothing', () => {
    const flops = (cachedTokens: number) => layerFlops(config('gpt-oss-120b'), 0, { newTokens: 10, cachedTokens }).attention;
    expect(flops(5000)).toBe(4 * 64 * 64 * 10 * 128);
    expect(flops(5000)).toBe(flops(50_000));
  });

  it('latent attention of one token costs two FLOPs for each of its parameters, and each pair 2 n (192 + 128)', () => {
    const { attention, projections } = layerFlops(config('deepseek-v3'), 5, { newTokens: 1 });
    const norms = 1536 + 512;
    expect(projections).toBe(2 * (count('deepseek-v3').attention / 61 - norms));
    expect(attention).toBe(2 * 128 * (192 + 128));
  });

  it('latents that a cache kept are written out again', () => {
    const flops = (cachedTokens: number) => layerFlops(config('deepseek-v3'), 5, { newTokens: 1, cachedTokens }).projections;
    expect(flops(100) - flops(0)).toBe(100 * 2 * 512 * 128 * (128 + 128));
  });

  it('a shared expert and the first dense layers are no experts that tokens choose', () => {
    const [dense, moe] = [2, 3].map((layer) => layerFlops(config('deepseek-v3'), layer, { newTokens: 7 }));
    expect(dense).toMatchObject({ dense: 6 * 7 * 7168 * 18_432, experts: 0, router: 0 });
    expect(moe).toMatchObject({ dense: 6 * 7 * 7168 * 2048, experts: 6 * 7 * 8 * 7168 * 2048, router: 2 * 7 * 7168 * 256 });
  });

  it('without attention to other tokens come to two for each active parameter that multiplies, whatever the model', () => {
    for (const { config: model } of MODEL_PRESETS) {
      const { projections, router, experts, dense } = flopsByPart(model, { newTokens: 1 });
      const { active } = countParameters(model);
      const head = model.vocabSize * model.hiddenSize;
      expect((projections + router + experts + dense) / 2 / (active - head)).toBeCloseTo(1, 3); // norms and biases multiply nothing
    }
  });

  it('a cache keeps keys and values, or the latent with the rotary key', () => {
    expect(cachedNumbers(config('mixtral-8x7b'))).toBe(2 * 8 * 128);
    expect(cachedNumbers(config('deepseek-v3'))).toBe(512 + 64);
  });

  it('an expert of gpt-oss has three biases', () => {
    expect(expertWeightBytes(config('gpt-oss-120b'), 1)).toBe(3 * 2880 * 2880 + 3 * 2880);
  });
});

describe('hardware presets', () => {
  it('are sound, each figure with a kind and a source', () => {
    for (const preset of HARDWARE_PRESETS) expect(parseHardware(preset, preset.name)).toEqual(preset);
    const sheets = JSON.stringify(HARDWARE_PRESETS).matchAll(/"kind":"data sheet","source":"([^"]*)"/g);
    for (const [, source] of sheets) expect(source).toMatch(/, https:\/\//);
  });

  it('compute a precision without units of its own at the next wider one', () => {
    expect(peakOf(hardwarePreset('a100-80'), 'fp8')).toMatchObject({ value: 312e12, computedAs: 'bf16' });
    expect(peakOf(hardwarePreset('h100-80'), 'fp8')).toMatchObject({ value: 1979e12, computedAs: 'fp8' });
    expect(peakOf(hardwarePreset('h100-80'), 'fp32')).toMatchObject({ value: 67e12, computedAs: 'fp32' });
  });

  it('are what links of paper:... are made from', () => {
    expect(HARDWARE['8xh200-fp8']).toEqual({
      devices: 8, name: '8 x H200-141', precision: 'FP8', elementBytes: 1, peakFlopsPerSecond: 1979e12, linkBytesPerSecond: 450e9, memoryBytesPerSecond: 4.8e12,
    });
  });

  it('of one\'s own are refused by the field that is wrong', () => {
    const { link, ...rest } = hardwarePreset('h100-80');
    expect(() => parseHardware(rest, 'mine.json')).toThrow(InputError);
    expect(() => parseHardware({ ...rest, link, devices: 0 }, 'mine.json')).toThrow(/mine\.json: devices: /);
    expect(() => hardwarePreset('h300')).toThrow('--hardware: h300: is unknown; expected a100-80, h100-80, h200-141, rtx-4090, m3-max, rx-7900-xtx, lavapipe, or a file of JSON');
    expect(() => modelPreset('gpt-4')).toThrow('--model: gpt-4: is unknown; expected qwen3-30b-a3b, qwen3-235b-a22b, mixtral-8x7b, gpt-oss-120b, deepseek-v3');
  });
});

it('the models that the engine runs are the presets of src/model', () => {
  expect(MODEL_PRESETS.filter(({ cannotRun }) => cannotRun === null).map(({ name, config }) => [name, config])).toEqual(
    ['qwen3-30b-a3b', 'qwen3-235b-a22b'].map((name) => [name, presetConfig(name)]),
  );
});
