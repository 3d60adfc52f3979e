import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expertFill, parseSaturation, saturate, saturationWarning, type SaturationInput } from '../../src/serving/saturation.ts';

const engine = { gatherMs: 12.4, peakFlopsPerSecond: 16.6e9, measuredFlopsPerSecond: 9.5e9 };
const input: SaturationInput = { engines: [engine], moeLayers: 3, mode: 'peak', gamma: 1.2, largestBatch: { tokens: 512, flops: 4.12e9 } };

describe('the threshold', () => {
  it('is layers x gather x rate x gamma, as it is printed', () => {
    const saturation = saturate(input);
    expect(saturation).toMatchObject({ gatherMs: 12.4, moeLayers: 3, flopsPerSecond: 16.6e9, rate: 'peak', gamma: 1.2 });
    expect(saturation.threshold).toBeCloseTo(3 * 0.0124 * 16.6e9 * 1.2, 0);
    expect(saturation.arithmetic).toMatchInlineSnapshot(`"T = 3 MoE layers x 12.4 ms x 16.6 GFLOP/s (peak) x 1.2 = 741 MFLOP, about 93 tokens of 512"`);
  });

  it('takes the slowest gather and the slowest rate of all engines', () => {
    const others = [{ gatherMs: 20, peakFlopsPerSecond: 30e9, measuredFlopsPerSecond: 2e9 }, { gatherMs: 1, peakFlopsPerSecond: 8e9, measuredFlopsPerSecond: 3e9 }];
    expect(saturate({ ...input, engines: [engine, ...others] })).toMatchObject({ gatherMs: 20, flopsPerSecond: 8e9 });
    expect(saturate({ ...input, engines: [engine, ...others], mode: 'measured' })).toMatchObject({ gatherMs: 20, flopsPerSecond: 2e9 });
  });

  it('goes by the measured rate or a given one when told so', () => {
    expect(saturate({ ...input, mode: 'measured' }).arithmetic).toMatchInlineSnapshot(`"T = 3 MoE layers x 12.4 ms x 9.5 GFLOP/s (measured) x 1.2 = 424 MFLOP, about 53 tokens of 512"`);
    expect(saturate({ ...input, moeLayers: 1, mode: { flopsPerSecond: 9.99999e11 }, gamma: 1 }).arithmetic)
      .toMatchInlineSnapshot(`"T = 1 MoE layer x 12.4 ms x 1 TFLOP/s (given) x 1 = 12.4 GFLOP, about 1541 tokens of 512"`);
  });

  it('is 0 where nothing is gathered', () => {
    const saturation = saturate({ ...input, engines: [{ ...engine, gatherMs: 0 }] });
    expect(saturation.threshold).toBe(0);
    expect(saturation.arithmetic).toMatchInlineSnapshot(`"T = 3 MoE layers x 0 ms x 16.6 GFLOP/s (peak) x 1.2 = 0 FLOP, nothing is gathered, no batch has to wait"`);
  });

  it('is at least what fills the tiles of the experts, where that is asked for', () => {
    const flopsOf = (tokens: number): number => tokens * 8e6;
    const fill = expertFill({ numExperts: 16, numExpertsPerTok: 2 }, 32, flopsOf);
    expect(fill).toEqual({ rows: 32, tokens: 256, flops: 256 * 8e6 });
    const saturation = saturate({ ...input, fill: fill! });
    expect(saturation.threshold).toBe(256 * 8e6);
    expect(saturation.gatherFlops).toBeCloseTo(3 * 0.0124 * 16.6e9 * 1.2, 0);
    expect(saturation.arithmetic).toMatchInlineSnapshot(`"T = 2.05 GFLOP: 256 tokens of 512 give an expert 32 rows (the gathers are hidden from 3 MoE layers x 12.4 ms x 16.6 GFLOP/s (peak) x 1.2 = 741 MFLOP)"`);
    expect(saturate({ ...input, fill: expertFill({ numExperts: 16, numExpertsPerTok: 2 }, 8, flopsOf)! })).toMatchObject({ threshold: saturation.gatherFlops });
    expect(saturate({ ...input, fill: expertFill({ numExperts: 160, numExpertsPerTok: 2 }, 64, flopsOf)! }).threshold).toBe(4.12e9);
    expect(expertFill({ numExperts: 16, numExpertsPerTok: 2 }, 0, flopsOf)).toBeUndefined();
  });

  it('wants a gamma of at least 1 and a rate above zero', () => {
    expect(() => saturate({ ...input, gamma: 0.99 })).toThrow('--gamma: 0.99; expected a number of at least 1');
    expect(() => saturate({ ...input, gamma: NaN })).toThrow('--gamma: NaN; expected a number of at least 1');
    expect(() => saturate({ ...input, engines: [{ ...engine, measuredFlopsPerSecond: 0 }], mode: 'measured' })).toThrow('--saturation: a rate of 0 FLOP/s (measured); expected one above zero');
  });
});

describe('the warning', () => {
  it('tells that no batch can reach T, and the size that could', () => {
    expect(saturationWarning({ gatherFlops: 8.24e9 }, input.largestBatch))
      .toMatchInlineSnapshot(`"a batch of 512 tokens has at most 4.12 GFLOP, below T = 8.24 GFLOP: compute cannot hide the gathers; it takes --batch-tokens of about 1024"`);
  });

  it('is not given where one can', () => {
    expect(saturationWarning({ gatherFlops: 4.12e9 }, input.largestBatch)).toBeNull();
  });
});

describe('the flag', () => {
  it.each([
    ['peak', 'peak'], [' measured ', 'measured'], ['2e12', { flopsPerSecond: 2e12 }], ['2.5E+9', { flopsPerSecond: 2.5e9 }], ['1.5TFLOPS', { flopsPerSecond: 1.5e12 }],
    ['16 GFLOP/s', { flopsPerSecond: 16e9 }], ['989.5TFLOPs', { flopsPerSecond: 989.5e12 }], ['1PFLOPS', { flopsPerSecond: 1e15 }], ['700FLOPS', { flopsPerSecond: 700 }],
  ] as const)('%s', (text, mode) => {
    expect(parseSaturation(text)).toEqual(mode);
  });

  it.each(['', 'Peak', '0', '-1', 'TFLOPS', '1.5T', '1,5TFLOPS', '1e999', '1.5TFLOPS please', 'Infinity', '0x10'])('refuses %j', (text) => {
    expect(() => parseSaturation(text)).toThrow(`--saturation: ${JSON.stringify(text)} is no rate; expected peak, measured, or FLOP/s above zero such as 1.5TFLOPS, 16GFLOP/s or 2e12`);
  });

  it('reads back every rate that is written with a unit', () => {
    const scales = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
    fc.assert(fc.property(fc.integer({ min: 1, max: 999_999 }), fc.constantFrom(...Object.keys(scales) as (keyof typeof scales)[]), (thousandths, prefix) => {
      const mode = parseSaturation(`${thousandths / 1000}${prefix}FLOP/s`) as { flopsPerSecond: number };
      expect(mode.flopsPerSecond / ((thousandths / 1000) * scales[prefix])).toBeCloseTo(1, 12);
    }));
  });
});
