import { describe, expect, it } from 'vitest';
import { bestChunked, chunked, pipelineMs, predictChunked } from '../../bench/paper/chunked.ts';
import { flopsOf, machineFor, MODEL, wholeSequences, type Fitted } from '../../bench/paper/device.ts';
import { fit } from '../../bench/paper/fit.ts';
import { compare, errorOf } from '../../bench/paper/predict.ts';
import { CHOSEN_BY, FITTED_TO, PUBLISHED, REGIMES } from '../../bench/paper/published.ts';
import { hiddenMfu, predictStreamed, regimeLengths } from '../../bench/paper/streamed.ts';
import { comparisonText } from '../../bench/paper/text.ts';
import { prefillFlops } from '../../src/model/flops.ts';

const machine = machineFor('h100-fp8');
/** Devices that reach their peaks, with nothing that a step costs beside its tokens. */
const IDEAL: Fitted = { products: 1, attention: 1, stepTokens: 0, exchange: 1 };
/** Peak of attention is that of 16 bits. */
const sixteenBits = machineFor('h100-bf16');

describe('steps of a queue', () => {
  it('have every token once, and every pair of a token with those before it in its prompt', () => {
    const lengths = [100, 5000, 20_000, 3];
    const steps = chunked(lengths, 8192);
    expect(steps.map(({ tokens }) => tokens)).toEqual([8192, 8192, 8192, 25_103 - 3 * 8192]);
    expect(steps.reduce((sum, { pairs }) => sum + pairs, 0)).toBe(lengths.reduce((sum, length) => sum + (length * (length + 1)) / 2, 0));
  });

  it('of whole prompts have the engine\'s FLOPs, all layers whole', () => {
    expect(flopsOf(wholeSequences([700, 90])) / ([700, 90].reduce((sum, newTokens) => sum + prefillFlops(MODEL, { newTokens }), 0))).toBeCloseTo(1, 12);
  });
});

describe('a pipeline', () => {
  it('of equal steps takes M + P - 1 of them', () => {
    expect(pipelineMs(Array.from({ length: 20 }, () => 3), 8)).toBe(3 * (20 + 8 - 1));
  });

  it('runs dry behind a long step: with as many under way as stages, those behind it wait', () => {
    // One of 10 among steps of 1 on 2 stages: the step behind the long one is held up on stage 2, the one after that cannot enter before.
    expect(pipelineMs([10, 1, 1, 1], 2)).toBe(10 + 10 + 1 + 1 + 1);
  });
});

describe('baselines on devices that reach their peaks', () => {
  it('shared by tensor parallelism compute without loss, and send two AllReduces of 2 (P-1)/P rows in each layer', () => {
    const lengths = [8192, 8192];
    const { wallMs } = predictChunked({ strategy: 'tp', lengths, ranks: 8, machine: sixteenBits, fitted: IDEAL });
    const compute = flopsOf(wholeSequences(lengths)) / 8 / 989.5e12;
    const exchange = 94 * ((4 * (7 / 8) * 16_384 * 2 * 4096) / 450e9 + 2 * 2 * 10e-6);
    expect(wallMs / 1000).toBeCloseTo(compute + exchange, 9);
  });

  it('with attention on each device wait for the slowest: one long prompt among short ones', () => {
    const even = predictChunked({ strategy: 'dp-tp', lengths: [4096, 4096], ranks: 2, machine, fitted: IDEAL });
    const uneven = predictChunked({ strategy: 'dp-tp', lengths: [7000, 1192], ranks: 2, machine, fitted: IDEAL });
    expect(uneven.wallMs).toBeGreaterThan(even.wallMs);
  });
});

describe('the fit', () => {
  const fitted = fit();

  it('comes out equal every time', () => {
    expect(fit()).toEqual(fitted);
  }, 120_000);

  it('meets the figures that it was made of', () => {
    const mfus = REGIMES.map((regime) => hiddenMfu(machine, fitted, 8, regime));
    expect(Math.max(...mfus)).toBeCloseTo(0.347, 6);
    expect(Math.min(...mfus)).toBeCloseTo(0.2984, 6);
    expect(predictChunked({ strategy: 'tp', lengths: regimeLengths('ultra'), ranks: 8, machine, fitted }).mfu).toBeCloseTo(0.2009, 6);
    expect(hiddenMfu(machine, fitted, 8, 'short') / bestChunked({ lengths: regimeLengths('short'), ranks: 8, machine, fitted }).mfu).toBeCloseTo(1.3, 4);
  });

  it('is of figures of which all stand in the list, and leaves four out of five to be predicted', () => {
    const ids = PUBLISHED.map(({ id }) => id);
    for (const id of [...FITTED_TO, CHOSEN_BY]) expect(ids).toContain(id);
    expect(FITTED_TO.length).toBeLessThan(PUBLISHED.length / 5);
  });

  it('AsyncEP in the simulator waits for nothing in batches that reach T: the MFU of a device alone', () => {
    expect(predictStreamed(machine, fitted, 8, 'medium').mfu / hiddenMfu(machine, fitted, 8, 'medium')).toBeCloseTo(1, 2);
  });
});

it('an error is how far a prediction is outside what was published', () => {
  expect(errorOf({ low: 1.52, high: 1.59 }, 1.55)).toBe(0);
  expect(errorOf({ low: 1.5, high: 1.6 }, 1.2)).toBeCloseTo(-0.2, 12);
  expect(errorOf({ low: 0, high: 16 }, 20)).toBeCloseTo(0.25, 12);
});

it('the comparison has a line for every published figure, with a number, in the text too', () => {
  const comparison = compare(400);
  expect(comparison.lines.map(({ id }) => id)).toEqual(PUBLISHED.map(({ id }) => id));
  for (const { predicted, error } of comparison.lines) expect([predicted > 0 || error < 0, Number.isFinite(predicted), Number.isFinite(error)]).toEqual([true, true, true]);
  const text = comparisonText(comparison);
  for (const { what } of PUBLISHED) expect(text).toContain(`│ ${what} `);
}, 120_000);
