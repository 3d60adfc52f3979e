import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { compare, LIMITS, shapeOf, summarizeErrors } from '../../bench/calibration/compare.ts';
import { fitOverheads, isFitted } from '../../bench/calibration/fit.ts';
import type { Measured, MeasuredWorld } from '../../bench/calibration/measured.ts';
import { predictRun } from '../../src/sim/cost.ts';
import type { Overheads } from '../../src/sim/overheads.ts';
import { SIM_STRATEGIES } from '../../src/sim/run-shape.ts';

/** A world as a machine would be measured that is just as the simulator has it. */
function simulatedWorld(model: string, ranks: number, overheads: Overheads, slowdowns: readonly number[] = [1]): MeasuredWorld {
  const cores = ranks === 1 ? 2 : 1;
  const world: MeasuredWorld = {
    model, link: 'none', cores, runs: [],
    shape: {
      ranks, lengths: Array.from({ length: 12 }, (_, i) => 16 + 7 * (i % 9)), batchTokens: 128, candidates: 8, processors: Math.min(2, ranks), link: { bytesPerSecond: 1e9, latencyMs: 0 },
      wire: 'f16', weightBytes: 2, dispatch: 'rank',
    },
  };
  const small = { strategy: 'resident', batchTokens: 32 } as const;
  const runs = [...SIM_STRATEGIES.map((strategy) => ({ strategy, batchTokens: 128 })), small].map(({ strategy, batchTokens }) => {
    const prediction = predictRun({ ...shapeOf(world, overheads), strategy, batchTokens, flopsPerSecond: 4e9 });
    const cpuMs = prediction.ranks.reduce((sum, { computeMs }) => sum + cores * computeMs, 0);
    return {
      strategy, batchTokens, reason: null, wallMs: slowdowns.map((factor) => factor * prediction.wallMs), cpuMs: slowdowns.map(() => cpuMs), othersShare: slowdowns.map(() => 0), exposedMs: slowdowns.map(() => 0),
    };
  });
  return { ...world, runs };
}

const MACHINE: Overheads = { layerMs: 2, exchangeMs: 1.5, messageMs: 0.8, copyBytesPerSecond: 2e9, noticeMs: 8 };
/** Rounded in what the fit finds. */
const CLOSE = 0.03;

describe('predictions beside measured runs', () => {
  it('are right about a machine that is as the simulator has it, at the rate it computes at', () => {
    const { rates, cells } = compare([simulatedWorld('many', 2, MACHINE), simulatedWorld('wide', 4, MACHINE)], MACHINE);
    for (const { flopsPerSecond } of rates) expect(flopsPerSecond / 4e9).toBeCloseTo(1, 6);
    expect(cells).toHaveLength(2 * (SIM_STRATEGIES.length - 1));
    for (const { error } of cells) expect(Math.abs(error)).toBeLessThan(0.005); // where two steps are ready at once, a hair decides which goes first
  });

  it('are not moved by a machine that slows all strategies of a repetition alike', () => {
    const { rates, cells } = compare([simulatedWorld('many', 2, {}, [1, 3, 2])], {});
    expect(rates[0]?.flopsPerSecond).toBeLessThan(2.1e9); // the median repetition was half as fast
    expect(rates[0]?.residentSpread).toBeCloseTo(1, 9);
    for (const { spread } of cells) expect(spread).toBeCloseTo(0, 9);
  });

  it('miss what they are not told of', () => {
    const { cells } = compare([simulatedWorld('many', 2, MACHINE)], {});
    expect(cells.find(({ strategy }) => strategy === 'tp')?.error).toBeLessThan(-0.2);
  });
});

describe('the fit', () => {
  it('sees worlds of one model without link shaping, and is right about others', () => {
    const fitted = [1, 2].map((ranks) => simulatedWorld('many', ranks, MACHINE));
    const found = fitOverheads([...fitted, simulatedWorld('wide', 2, { layerMs: 1000 })]) as Overheads;
    expect(summarizeErrors(compare(fitted, found).cells).worst).toBeLessThan(CLOSE);
    expect(summarizeErrors(compare([simulatedWorld('wide', 2, MACHINE), simulatedWorld('wide', 4, MACHINE)], found).cells).worst).toBeLessThan(2 * CLOSE);
  });

  it('is none where its worlds were not measured', () => {
    expect(fitOverheads([simulatedWorld('wide', 2, {})])).toBeNull();
  });
});

it('errors are summed up by their absolute values', () => {
  expect(summarizeErrors([-0.3, 0.1, 0.2, -0.05, 0].map((error) => ({ error })))).toEqual({ median: 0.1, p90: 0.3, worst: 0.3 });
});

const stored = JSON.parse(readFileSync('bench/results/calibration.json', 'utf8')) as Measured;
/** Of the cores' time; when others take more, what is measured says nothing about the model. */
const DISTURBED = 0.1;
/** Of cells within the limit of the worst; the machine's own noise (its table in calibration.txt) puts the others beyond it. */
const WITHIN = 0.8;

describe('the runs in bench/results/calibration.json', () => {
  const { rates, cells } = compare(stored.worlds, stored.overheads as Overheads);

  it('are of all strategies, 1, 2 and 4 ranks, three links and two models, on a machine that others left alone', () => {
    expect(new Set(stored.worlds.map(({ model, shape: { ranks }, link }) => `${model} ${ranks} ${link}`)).size).toBe(2 * (1 + 2 * 3));
    for (const { runs } of stored.worlds) expect(new Set(runs.filter(({ reason }) => reason === null).map(({ strategy }) => strategy))).toEqual(new Set(SIM_STRATEGIES));
    for (const { othersShare } of rates) expect(othersShare ?? 0).toBeLessThanOrEqual(DISTURBED);
  });

  it('are predicted by the model as it is, with the overheads that were fitted to some of them: those, and the others', () => {
    for (const some of [cells.filter(isFitted), cells.filter((cell) => !isFitted(cell))]) {
      expect(summarizeErrors(some).median).toBeLessThanOrEqual(LIMITS.median);
      expect(some.filter(({ error }) => Math.abs(error) <= LIMITS.worst).length / some.length).toBeGreaterThanOrEqual(WITHIN);
    }
  });
});
