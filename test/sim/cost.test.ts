import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { prefillFlops } from '../../src/model/flops.ts';
import { crossOvers, gatherMs, predictRun, saturationThreshold, fewestTokens } from '../../src/sim/cost.ts';
import { layerStages } from '../../src/sim/exchanging.ts';
import { jointPassesOf, takenInTurn } from '../../src/sim/passes.ts';
import { pipelineStages } from '../../src/sim/pipeline.ts';
import { BASELINES, SIM_STRATEGIES, type RunShape, type SimStrategy } from '../../src/sim/run-shape.ts';
import { smallConfig } from './small-config.ts';

const RATE = 1e9;
const shapeOf = (changes: Partial<RunShape> & { strategy: SimStrategy }): RunShape => ({
  config: smallConfig(), ranks: 2, lengths: [64, 64, 64, 64], batchTokens: 64, candidates: 2, flopsPerSecond: RATE, link: null,
  wire: 'bf16', weightBytes: 2, dispatch: 'rank', ...changes,
});

const flopsOf = (shape: RunShape): number =>
  shape.lengths.reduce((sum, newTokens) => sum + prefillFlops(shape.config, { newTokens, candidates: shape.candidates }, { lastLayerShortcut: true }), 0);
const computeMs = (shape: RunShape): number => (flopsOf(shape) / RATE) * 1000;
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** A link on which one layer's gather takes `ms` (2 ranks: half of the experts' 3 x 32 x 64 x 2 bytes each). */
const linkOf = (ms: number) => ({ bytesPerSecond: ((4 * 3 * 32 * 64 * 2) / ms) * 1000, latencyMs: 0 });

describe('every strategy', () => {
  it.each(SIM_STRATEGIES)('%s computes exactly the true FLOPs', (strategy) => {
    for (const ranks of [1, 2]) {
      const shape = shapeOf({ strategy, ranks, lengths: [64, 10, 3, 130, 64, 64, 7] });
      expect(sum(predictRun(shape).ranks.map(({ flops }) => flops)) / flopsOf(shape)).toBeCloseTo(1, 12);
    }
  });

  it.each(SIM_STRATEGIES)('%s on one rank takes the time of its compute and moves nothing', (strategy) => {
    const shape = shapeOf({ strategy, ranks: 1, link: { bytesPerSecond: 1, latencyMs: 1000 } });
    const { wallMs, ranks } = predictRun(shape);
    expect(wallMs).toBeCloseTo(computeMs(shape), 9);
    expect(ranks[0]).toMatchObject({ sentBytes: 0, receivedBytes: 0, exposedMs: 0 });
  });

  it.each(SIM_STRATEGIES)('%s sends what is received, and is never faster than its compute', (strategy) => {
    const arbitrary = fc.record({ ranks: fc.integer({ min: 1, max: 4 }), lengths: fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 12 }), rate: fc.double({ min: 1e3, max: 1e9, noNaN: true }) });
    fc.assert(fc.property(arbitrary, ({ ranks, lengths, rate }) => {
      const shape = shapeOf({ strategy, ranks, lengths, link: { bytesPerSecond: rate, latencyMs: 0.1 } });
      const prediction = predictRun(shape);
      expect(sum(prediction.ranks.map(({ sentBytes }) => sentBytes))).toBeCloseTo(sum(prediction.ranks.map(({ receivedBytes }) => receivedBytes)), 3);
      expect(prediction.wallMs).toBeGreaterThanOrEqual(Math.max(...prediction.ranks.map((rank) => rank.computeMs)) - 1e-6);
      for (const rank of prediction.ranks) expect(rank.computeMs + rank.exposedMs + rank.idleMs).toBeGreaterThanOrEqual(prediction.wallMs - 1e-6);
    }), { numRuns: 40 });
  });
});

describe('weights that move', () => {
  // 2 ranks, 2 passes each, 4 layers of which the first is resident: 3 gathers a pass.
  const layerMs = computeMs(shapeOf({ strategy: 'asyncep', lengths: [64] })) / 3; // an upper limit: the last layer is shorter

  it('resident: the sum of compute', () => {
    const shape = shapeOf({ strategy: 'resident' });
    expect(predictRun(shape).wallMs).toBeCloseTo(computeMs(shape) / 2, 9);
  });

  it('sync: compute and gathers add up', () => {
    const shape = shapeOf({ strategy: 'sync', link: linkOf(7) });
    const { wallMs, ranks } = predictRun(shape);
    expect(wallMs).toBeCloseTo(computeMs(shape) / 2 + 2 * 3 * 7, 9);
    expect(ranks[0]?.exposedMs).toBeCloseTo(42, 9);
  });

  it('asyncep hides a gather that is shorter than a layer', () => {
    const shape = shapeOf({ strategy: 'asyncep', link: linkOf(layerMs / 20) });
    const { wallMs, ranks } = predictRun(shape);
    expect(wallMs).toBeCloseTo(computeMs(shape) / 2, 9);
    expect(ranks[0]?.exposedMs).toBeCloseTo(0, 9);
    expect(ranks[0]?.transferMs).toBeCloseTo((2 * 3 * layerMs) / 20, 6);
  });

  it('asyncep takes a gather\'s time for each layer whose compute is shorter: sum of max(compute, gather)', () => {
    const many = Array.from({ length: 80 }, () => 64);
    const slow = predictRun(shapeOf({ strategy: 'asyncep', lengths: many, link: linkOf(10 * layerMs) })).wallMs;
    // 40 passes of 3 gathers, of which the first two were there and the last of which is followed by its layer alone.
    expect(slow / (40 * 3 * 10 * layerMs)).toBeGreaterThan(0.97);
    expect(slow / (40 * 3 * 10 * layerMs)).toBeLessThan(1.01);
  });

  it('a run reads every streamed layer of every pass, P - 1 shards of it', () => {
    for (const strategy of ['asyncep', 'sync'] as const) {
      const { ranks } = predictRun(shapeOf({ strategy, ranks: 4, lengths: Array.from({ length: 8 }, () => 64), link: linkOf(1) }));
      const expert = 3 * 32 * 64 * 2;
      for (const { receivedBytes } of ranks) expect(receivedBytes).toBe(2 * 3 * 6 * expert);
      for (const { sentBytes } of ranks) expect(sentBytes).toBe(2 * 3 * (4 - 1) * 2 * expert);
    }
  });

  it('ranks take batches as they get free, a second one waiting while there are more than ranks', () => {
    const batches = [[9], [1], [1], [1], [1]];
    expect(takenInTurn(batches, 2, ([length = 0]) => length)).toEqual([[[9], [1]], [[1], [1], [1]]]);
    expect(takenInTurn([[5], [1], [1]], 2, ([length = 0]) => length)).toEqual([[[5]], [[1], [1]]]);
  });
});

describe('rows that move', () => {
  const parts = [[64], [64]];
  const bytesOf = (strategy: SimStrategy, changes: Partial<RunShape> = {}): number => {
    const shape = shapeOf({ strategy, link: linkOf(1), ...changes });
    return sum(layerStages(shape, strategy === 'ep' || strategy === 'dp-tp' ? parts : [[64, 64]], 1).flatMap(({ bytes }) => (bytes ?? []).flat()));
  };
  const row = 32 * 2;

  it('of 128 tokens on 2 ranks follow the table: dp-tp, tp, ep and tp-ep', () => {
    const packet = row + 2 * 8;
    const dispatched = 128 * (1 - (4 * 3) / (8 * 7)); // a token goes to the other rank unless both experts are here
    expect(bytesOf('dp-tp')).toBe(128 * (packet + row));
    expect(bytesOf('tp')).toBe(128 * (row + row) + 128 * (packet + row));
    expect(bytesOf('ep')).toBeCloseTo(dispatched * (packet + row), 6);
    expect(bytesOf('tp-ep')).toBeCloseTo(128 * (row + row) + dispatched * (packet + row), 6);
  });

  it('per expert are the paper\'s k (P - 1) / P rows each way', () => {
    expect(bytesOf('ep', { dispatch: 'expert' })).toBeCloseTo(128 * 2 * (1 / 2) * (row + 8 + row), 6);
  });

  it('f32 rows weigh twice as much', () => {
    expect(bytesOf('tp', { wire: 'f32' })).toBe(128 * 4 * 32 * 4 + 128 * 16);
  });

  it.each(['ep', 'dp-tp', 'tp-ep', 'tp'] as const)('%s alone in flight: every exchange is exposed', (strategy) => {
    const shape = shapeOf({ strategy, link: { bytesPerSecond: 1e6, latencyMs: 0 }, inFlight: 1, lengths: [64, 64], batchTokens: strategy.startsWith('tp') ? 128 : 64 });
    const { wallMs, ranks } = predictRun(shape);
    expect(ranks[0]?.exposedMs).toBeCloseTo((ranks[0]?.sentBytes ?? 0) / 1e3, 6); // both directions at once
    expect(wallMs).toBeCloseTo((ranks[0]?.computeMs ?? 0) + (ranks[0]?.exposedMs ?? 0), 6);
  });

  it('two passes in flight hide transfers that are shorter than the other pass\'s compute', () => {
    const base = { strategy: 'ep' as const, lengths: Array.from({ length: 40 }, () => 64), link: { bytesPerSecond: 2e7, latencyMs: 0 } };
    const [alone, two] = [predictRun(shapeOf({ ...base, inFlight: 1 })), predictRun(shapeOf({ ...base, inFlight: 2 }))];
    const compute = computeMs(shapeOf(base)) / 2;
    expect(alone.wallMs).toBeGreaterThan(compute * 1.1);
    expect(two.wallMs).toBeLessThan(compute * 1.03);
  });

  it('the slowest rank sets the pace where experts are unevenly chosen', () => {
    const base = { strategy: 'ep' as const, lengths: Array.from({ length: 40 }, () => 64), inFlight: 1 };
    const even = predictRun(shapeOf(base));
    const uneven = predictRun(shapeOf({ ...base, expertShares: [0.8, 0.2] }));
    const expertsMs = (6 * 64 * 2 * 2 * 32 * 64 * 3 + 6 * 2 * 2 * 32 * 64) / RATE * 1000 * 20; // of both ranks, 3 layers and the last rows, 20 passes
    expect(uneven.wallMs - even.wallMs).toBeCloseTo(0.3 * expertsMs, 6);
  });

  it('a dense layer moves attention only', () => {
    const config = smallConfig({ mlp_only_layers: [1] });
    expect(bytesOf('ep', { config })).toBe(0);
    expect(bytesOf('tp', { config })).toBe(128 * 2 * row);
  });

  it('own sequences come in passes of a batch for each rank, shared ones batch by batch, a pipeline\'s in many small ones', () => {
    const lengths = Array.from({ length: 16 }, () => 10);
    const of = (strategy: SimStrategy, ranks = 2) => jointPassesOf(shapeOf({ strategy, ranks, lengths, batchTokens: 80 })).map((parts) => parts.map((part) => part.length));
    // Two passes are under way, so each has half of what a rank may hold: 40 tokens.
    expect(of('ep')).toEqual([[4, 4], [4, 4]]);
    expect(of('tp')).toEqual([[8], [8]]);
    expect(of('pp')).toEqual([[8], [8]]);
  });
});

describe('the pipeline', () => {
  /** All layers alike: dense layers of a model without the last layer's shortcut do not exist, so weigh bubbles by measured idle time. */
  it.each([[2, 4], [3, 6], [4, 8]])('%d stages of equal cost and %d passes: (P - 1) / (M + P - 1) of the time is bubbles', (ranks, passes) => {
    // Stages are only equal if the last one's short layer is made up for: one stage a rank with speeds that make them so.
    const shape = shapeOf({ strategy: 'pp', ranks, lengths: Array.from({ length: passes }, () => 64), inFlight: passes });
    const once = predictRun({ ...shape, lengths: [64] }).ranks.map(({ flops }) => flops);
    const { wallMs, ranks: summary } = predictRun({ ...shape, flopsPerSecond: once.map((flops) => flops * 10) });
    expect(wallMs).toBeCloseTo((passes + ranks - 1) * 100, 6);
    for (const { idleMs } of summary) expect(idleMs / wallMs).toBeCloseTo((ranks - 1) / (passes + ranks - 1), 9);
  });

  it('has no bubbles where all stages share one processor: whoever computes has all of it', () => {
    const shape = shapeOf({ strategy: 'pp', ranks: 4, lengths: Array.from({ length: 8 }, () => 64), processors: 1 });
    expect(predictRun(shape).wallMs).toBeCloseTo(computeMs(shape) / 4, 6); // the rate is that of a rank when all four compute
  });

  it('sends every row from each stage to the next', () => {
    const { ranks } = predictRun(shapeOf({ strategy: 'pp', ranks: 4, link: linkOf(1) }));
    expect(ranks.map(({ sentBytes }) => sentBytes)).toEqual([256 * 64, 256 * 64, 256 * 64, 0]);
  });

  it('gives the stage of the short last layer more of the others', () => {
    expect(pipelineStages(smallConfig({ num_hidden_layers: 5 }), 2).map(({ count }) => count)).toEqual([2, 3]);
  });

  it('cannot have more stages than layers', () => {
    expect(() => predictRun(shapeOf({ strategy: 'pp', ranks: 5 }))).toThrow('--ranks: 5 pipeline stages asked for, but the model has 4 layers');
  });
});

describe('threshold and cross-over', () => {
  it('T_batch = L_moe t_EP F gamma', () => {
    expect(saturationThreshold(6, 42.95, 11.9e9)).toBeCloseTo(6 * 0.04295 * 11.9e9 * 1.2, 0);
  });

  it('t_EP is what a rank lacks of a layer, over the link', () => {
    const shape = shapeOf({ strategy: 'asyncep', link: linkOf(7) });
    expect(gatherMs(shape)).toBeCloseTo(7, 9);
    expect(gatherMs({ ...shape, ranks: 1 })).toBe(0);
  });

  it('asyncep catches up with resident where a layer computes as long as its gather takes', () => {
    const shape = shapeOf({ strategy: 'asyncep', link: linkOf(20), depth: 1 });
    const tokens = crossOvers(shape, ['resident'], 16).resident as number;
    const { config } = shape;
    const layer = (n: number): number => ((prefillFlops(config, { newTokens: 16 }) / 4) * n) / 16 / RATE * 1000;
    // The last layer is too short to hide its gather, so the layers around must make up for it; between one layer and two.
    expect(layer(tokens)).toBeGreaterThan(20 * 0.9);
    expect(layer(tokens)).toBeLessThan(2 * 20);
  });

  it.each(BASELINES)('asyncep is behind %s with few tokens and overtakes it with more, on a slow link', (strategy) => {
    const shape = shapeOf({ strategy: 'asyncep', link: { bytesPerSecond: 3e6, latencyMs: 0.05 } });
    const tokens = crossOvers(shape, [strategy], 16)[strategy] as number;
    expect(tokens).toBeGreaterThan(16);
    const rate = (one: SimStrategy, n: number): number => {
      const lengths = Array.from({ length: Math.ceil(n / 16) * 8 }, () => 16);
      return 1 / predictRun({ ...shape, strategy: one, lengths, batchTokens: Math.ceil(n / 16) * 16 }).wallMs;
    };
    expect(rate('asyncep', 2 * tokens)).toBeGreaterThan(rate(strategy, 2 * tokens));
  });
});

describe('the fewest tokens from which something holds', () => {
  it.each([16, 17, 18, 19, 20, 21, 33, 1000, 1 << 17])('are found to a twentieth, or to the token: %i', (first) => {
    const found = fewestTokens((tokens) => tokens >= first) as number;
    expect(found).toBeGreaterThanOrEqual(first);
    expect(found - first).toBeLessThanOrEqual(Math.max(0, found / 20));
  });

  it('are none where it never holds', () => {
    expect(fewestTokens(() => false)).toBeNull();
  });
});
