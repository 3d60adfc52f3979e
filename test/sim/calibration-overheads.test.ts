import { describe, expect, it } from 'vitest';
import { predictRun, residentRate } from '../../src/sim/cost.ts';
import { jitterFactor, type Overheads } from '../../src/sim/overheads.ts';
import { SIM_STRATEGIES, type RunShape, type SimStrategy } from '../../src/sim/run-shape.ts';
import { traceOf } from '../../src/sim/trace.ts';
import { smallConfig } from './small-config.ts';

const LAYERS = 4;
/** Two ranks, one pass at a time, with the same work for both. */
const shapeOf = (strategy: SimStrategy, overheads: Overheads = {}, changes: Partial<RunShape> = {}): RunShape => ({
  config: smallConfig(), ranks: 2, lengths: [64, 64], batchTokens: 128, candidates: 2, flopsPerSecond: 1e9, link: null, wire: 'bf16', weightBytes: 2, dispatch: 'rank', inFlight: 1,
  strategy, overheads, ...changes,
});
const wallOf = (...args: Parameters<typeof shapeOf>): number => predictRun(shapeOf(...args)).wallMs;
/** What an overhead adds. */
const added = (strategy: SimStrategy, overheads: Overheads, changes?: Partial<RunShape>): number => wallOf(strategy, overheads, changes) - wallOf(strategy, {}, changes);

/** Exchanges in a layer of each strategy in which rows travel. */
const EXCHANGES = { ep: 2, 'dp-tp': 2, 'tp-ep': 4, tp: 4 } as const;
const rowStrategies = Object.keys(EXCHANGES) as (keyof typeof EXCHANGES)[];

describe('the fixed cost of a layer', () => {
  it.each(SIM_STRATEGIES)('%s: is paid in every layer of every pass, by each rank for its own', (strategy) => {
    expect(added(strategy, { layerMs: 3 })).toBeCloseTo(LAYERS * 3, 9);
  });

  it('is shared by the cores of a rank', () => {
    expect(added('resident', { layerMs: 3, cores: 2 })).toBeCloseTo(LAYERS * 1.5, 9);
  });
});

describe('the cost of an exchange', () => {
  it.each(rowStrategies)('%s: keeps the device busy at every exchange of a layer', (strategy) => {
    expect(added(strategy, { exchangeMs: 2 })).toBeCloseTo(LAYERS * EXCHANGES[strategy] * 2, 9);
  });

  it.each(rowStrategies)('%s: has a part for each peer', (strategy) => {
    const four = { ranks: 4, lengths: [64, 64, 64, 64] };
    expect(added(strategy, { messageMs: 2 }, four)).toBeCloseTo(LAYERS * EXCHANGES[strategy] * 3 * 2, 9);
  });

  it('pp: is paid half by the stage that sends and half by the one that receives', () => {
    expect(added('pp', { exchangeMs: 2 })).toBeCloseTo(2, 9);
  });

  it('is none where weights travel, or nothing does', () => {
    for (const strategy of ['asyncep', 'sync', 'resident'] as const) expect(added(strategy, { exchangeMs: 2, messageMs: 2, noticeMs: 2 })).toBe(0);
  });

  it.each(rowStrategies)('%s: rows are noticed later, which nothing hides when one pass runs at a time', (strategy) => {
    expect(added(strategy, { noticeMs: 5 })).toBeCloseTo(LAYERS * EXCHANGES[strategy] * 5, 9);
  });

  it('late notice hides behind the other pass, work on the device does not', () => {
    const two = { lengths: [64, 64, 64, 64], inFlight: 2 };
    expect(added('dp-tp', { noticeMs: 1e-3 }, two)).toBeLessThan(2 * LAYERS * 2 * 1e-3);
    expect(added('dp-tp', { exchangeMs: 2 }, two)).toBeCloseTo(2 * LAYERS * 2 * 2, 6);
  });

  it('rows are copied when they go and when they come: 64 rows of 32 elements of 2 bytes each way, twice a layer but for the last one, and packets have ids and weights', () => {
    const packets = 64 * (32 * 2 + 2 * 8);
    const rows = 64 * 32 * 2;
    const last = (1 * (32 * 2 + 2 * 8) + 1 * 32 * 2);
    expect(added('dp-tp', { copyBytesPerSecond: 1e6 })).toBeCloseTo((2 * ((LAYERS - 1) * (packets + rows) + last)) / 1e3, 6);
  });
});

describe('a step without FLOPs', () => {
  it('is seen in the timeline when an exchange keeps the device busy', () => {
    const { schedule, ranks } = predictRun(shapeOf('tp', { exchangeMs: 2 }));
    const compute = traceOf(schedule).filter(({ track }) => track === 'compute');
    for (const { rank, computeMs } of ranks) {
      expect(compute.reduce((sum, event) => sum + (event.rank === rank ? event.durationUs / 1000 : 0), 0)).toBeCloseTo(computeMs, 6);
    }
  });
});

describe('copies of weights', () => {
  const layerBytes = 8 * 3 * 32 * 64 * 2;

  it('asyncep: the peer\'s half of a streamed layer to host memory, and all of it to the slot', () => {
    expect(added('asyncep', { copyBytesPerSecond: 1e6 })).toBeCloseTo(((LAYERS - 1) * 1.5 * layerBytes) / 1e3, 6);
  });

  it('sync: to the slot only, for what comes to host memory comes while nothing computes', () => {
    expect(added('sync', { copyBytesPerSecond: 1e6 })).toBeCloseTo(((LAYERS - 1) * layerBytes) / 1e3, 6);
  });

  it('are none where all experts are on the device', () => {
    expect(added('resident', { copyBytesPerSecond: 1 })).toBe(0);
  });
});

describe('jitter', () => {
  it('is the same for the same seed, another for another', () => {
    expect(wallOf('tp', { jitter: 0.2, seed: 1 })).toBe(wallOf('tp', { jitter: 0.2, seed: 1 }));
    expect(wallOf('tp', { jitter: 0.2, seed: 1 })).not.toBe(wallOf('tp', { jitter: 0.2, seed: 2 }));
  });

  it('has mean 1 and the variation it is asked for', () => {
    const factors = Array.from({ length: 20_000 }, (_, count) => jitterFactor({ jitter: 0.2, seed: 7 }, count % 4, count));
    const mean = factors.reduce((sum, factor) => sum + factor, 0) / factors.length;
    const variance = factors.reduce((sum, factor) => sum + (factor - mean) ** 2, 0) / factors.length;
    expect(mean).toBeCloseTo(1, 2);
    expect(Math.sqrt(variance)).toBeCloseTo(0.2, 2);
  });

  it('costs ranks that wait for each other in every layer more than ranks that do not', () => {
    const many = { lengths: Array.from({ length: 64 }, () => 64) };
    const cost = (strategy: SimStrategy): number => wallOf(strategy, { jitter: 0.3, seed: 3 }, many) / wallOf(strategy, {}, many);
    expect(cost('tp')).toBeGreaterThan(1.1);
    expect(cost('resident')).toBeLessThan(1.05);
  });
});

describe('the rate that resident was measured at', () => {
  it('is the one at which it is predicted to take as long', () => {
    const shape = shapeOf('tp', { layerMs: 3, jitter: 0.1 }, { ranks: 4, lengths: [64, 10, 3, 130, 64, 64, 7], processors: 2 });
    const { wallMs } = predictRun({ ...shape, strategy: 'resident', flopsPerSecond: 3.21e9 });
    expect(residentRate(shape, wallMs) / 3.21e9).toBeCloseTo(1, 4);
  });

  it('is refused when overheads alone take longer', () => {
    expect(() => residentRate(shapeOf('resident', { layerMs: 3 }), 11)).toThrow('no rate makes it 11.0 ms: overheads alone take 12.0 ms');
  });
});
