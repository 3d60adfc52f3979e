/** The same batches under every strategy: what the simulator is asked for each, and what the page shows of its answer. */
import { describe, expect, it } from 'vitest';
import { predictRun } from '../../src/sim/cost.ts';
import type { RunShape } from '../../src/sim/run-shape.ts';
import { COMPARED, comparedShape, comparisonOf } from '../../web/learn/comparison.ts';
import { shapeOf } from '../../web/learn/scenario.ts';
import { FIRST_SETTINGS } from '../../web/learn/settings.ts';

const settings = { ...FIRST_SETTINGS, tokens: 2048, ranks: 4, linkBytesPerSecond: 50e9 };
const twoHalves = { inFlight: 2, busiest: 1 } as const;
const base = shapeOf(settings, 'asyncep');

describe('each strategy', () => {
  it.each([
    ['asyncep', {}], ['sync', {}], ['pp', {}], ['tp', { inFlight: 2 }], ['ep', { inFlight: 2 }],
  ] as const)('%s gets the same texts on the same machine', (strategy, more) => {
    expect(comparedShape(settings, twoHalves, strategy)).toEqual({ ...base, strategy, ...more } satisfies RunShape);
  });

  it('has its experts on the device where it moves rows, whatever the offload window', () => {
    expect(comparedShape({ ...settings, offload: 2 }, twoHalves, 'ep')).not.toHaveProperty('offload');
    expect(comparedShape({ ...settings, offload: 2 }, twoHalves, 'sync')).toMatchObject({ offload: { layers: 2 } });
  });

  it('ep has a busiest rank, with so many times the average and the others with the rest', () => {
    expect(comparedShape(settings, { inFlight: 1, busiest: 1.9 }, 'ep')).toMatchObject({ inFlight: 1, expertShares: [0.475, 0.175, 0.175, 0.175].map((share) => expect.closeTo(share, 12)) });
    expect(comparedShape(settings, { inFlight: 1, busiest: 1.9 }, 'tp')).not.toHaveProperty('expertShares');
  });
});

describe('the comparison', () => {
  const compared = comparisonOf(settings, twoHalves);

  it('is of five strategies, each with the times and the bytes that the simulator predicts', () => {
    expect(compared.map(({ strategy }) => strategy)).toEqual(COMPARED);
    for (const { strategy, wallMs, exposedMs, idleMs, sentBytes, ranks } of compared) {
      const predicted = predictRun(comparedShape(settings, twoHalves, strategy));
      const mean = (key: 'computeMs' | 'sentBytes'): number => predicted.ranks.reduce((sum, rank) => sum + rank[key], 0) / 4;
      expect(wallMs).toBe(predicted.wallMs);
      expect(sentBytes).toBeCloseTo(mean('sentBytes') / 2 / 9, 3);
      expect(exposedMs + idleMs).toBeCloseTo(wallMs - mean('computeMs'), 6);
      expect(ranks).toHaveLength(4);
      for (const { bars } of ranks) expect(bars.reduce((sum, [from, to]) => sum + to - from, 0)).toBeGreaterThan(0);
    }
  });

  it('shows the whole of sync\'s gathers in red', () => {
    const [, sync] = compared;
    const gatherMs = ((3 / 4) * 128 * 3 * 4096 * 1536 * 2) / 50e9 * 1000 + 0.01;
    expect(sync?.exposedMs).toBeCloseTo(2 * 8 * gatherMs, 6); // two passes, all layers but the first
  });

  it('takes longer with one whole batch under way than with two halves', () => {
    const whole = comparisonOf(settings, { inFlight: 1, busiest: 1 });
    for (const strategy of ['ep', 'tp']) {
      const [one, two] = [whole, compared].map((some) => some.find((other) => other.strategy === strategy)?.wallMs as number) as [number, number];
      expect(one).toBeGreaterThan(two);
    }
  });

  it('has nothing to compare on one rank: nobody sends, and all take as long', () => {
    const alone = comparisonOf({ ...settings, ranks: 1, tokens: 256 }, twoHalves);
    const [{ wallMs }] = alone as [(typeof alone)[number]];
    for (const one of alone) expect(one).toMatchObject({ wallMs: expect.closeTo(wallMs, 9), exposedMs: 0, idleMs: 0, sentBytes: 0 });
  });
});
