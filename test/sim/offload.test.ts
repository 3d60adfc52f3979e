/** Own experts that come from host memory: the paper's modes 1 and 3. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { prefillFlops } from '../../src/model/flops.ts';
import { gatherMs, predictRun } from '../../src/sim/cost.ts';
import type { RunShape, SimStrategy } from '../../src/sim/run-shape.ts';
import { smallConfig } from './small-config.ts';

const RATE = 1e9;
const EXPERT_BYTES = 3 * 32 * 64 * 2;
const LAYER_BYTES = 8 * EXPERT_BYTES;

/** Four layers of which the first stays on the device; batches of 64 tokens. */
const shapeOf = (strategy: SimStrategy, changes: Partial<RunShape> = {}): RunShape => ({
  config: smallConfig(), strategy, ranks: 1, lengths: [64, 64, 64, 64], batchTokens: 64, candidates: 2, flopsPerSecond: RATE, link: null,
  wire: 'bf16', weightBytes: 2, dispatch: 'rank', offload: { layers: 1 }, ...changes,
});

const computeMs = ({ config, candidates, lengths, ranks }: RunShape): number =>
  (lengths.reduce((sum, newTokens) => sum + prefillFlops(config, { newTokens, candidates }, { lastLayerShortcut: true }), 0) / RATE / ranks) * 1000;
const layerMs = computeMs(shapeOf('asyncep', { lengths: [64] })) / 3; // about a whole layer's: the last one is shorter

/** The rate at which `bytes` take so long. */
const rateOf = (bytes: number, ms: number): number => (bytes / ms) * 1000;
const linkOf = (bytes: number, ms: number) => ({ bytesPerSecond: rateOf(bytes, ms), latencyMs: 0 });

describe('one device whose experts are in host memory', () => {
  it('sync: compute and loads add up', () => {
    const shape = shapeOf('sync', { hostBytesPerSecond: rateOf(LAYER_BYTES, 7) });
    const { wallMs, ranks } = predictRun(shape);
    expect(wallMs).toBeCloseTo(computeMs(shape) + 4 * 3 * 7, 9);
    expect(ranks[0]).toMatchObject({ loadedBytes: 4 * 3 * LAYER_BYTES, sentBytes: 0, receivedBytes: 0 });
    expect(ranks[0]?.exposedMs).toBeCloseTo(4 * 3 * 7, 9);
  });

  it('asyncep: loads that are shorter than a layer take no time', () => {
    const shape = shapeOf('asyncep', { hostBytesPerSecond: rateOf(LAYER_BYTES, layerMs / 20) });
    const { wallMs, ranks } = predictRun(shape);
    expect(wallMs).toBeCloseTo(computeMs(shape), 9);
    expect(ranks[0]?.loadedBytes).toBe(4 * 3 * LAYER_BYTES);
  });

  it('asyncep: a load that takes longer than any layer sets the pace', () => {
    const ms = 10 * layerMs;
    const { wallMs, schedule } = predictRun(shapeOf('asyncep', { lengths: Array.from({ length: 20 }, () => 64), hostBytesPerSecond: rateOf(LAYER_BYTES, ms) }));
    const spans = schedule.steps.flatMap(({ kind }, i) => (kind === 'compute' ? [(schedule.endMs[i] as number) - (schedule.startMs[i] as number)] : []));
    // The first two of the 60 loads were there. The others follow one another without a pause from when the first slot is free, after two layers;
    // behind the last load only its layer is computed.
    expect(wallMs).toBeCloseTo((spans[0] as number) + (spans[1] as number) + 58 * ms + (spans.at(-1) as number), 6);
  });
});

describe('several devices with offload', () => {
  const [own, others] = [2 * EXPERT_BYTES, 6 * EXPERT_BYTES]; // of a layer, on 4 ranks

  it.each([[9, 4, 9], [4, 9, 9], [5, 0, 5]])('t_EP is the slower of both channels: link %d ms, host %d ms', (link, host, both) => {
    const shape = shapeOf('sync', {
      ranks: 4, lengths: Array.from({ length: 8 }, () => 64), link: linkOf(others, link), ...(host > 0 && { hostBytesPerSecond: rateOf(own, host) }),
    });
    const { wallMs, ranks } = predictRun(shape);
    expect(gatherMs(shape)).toBeCloseTo(both, 9);
    expect(wallMs).toBeCloseTo(computeMs(shape) + 2 * 3 * both, 9);
    for (const rank of ranks) expect(rank).toMatchObject({ loadedBytes: 2 * 3 * own, receivedBytes: 2 * 3 * others, sentBytes: 2 * 3 * others });
  });

  it('t_EP of one device is that of its own channel', () => {
    expect(gatherMs(shapeOf('asyncep', { hostBytesPerSecond: rateOf(LAYER_BYTES, 3), link: linkOf(1, 1000) }))).toBeCloseTo(3, 9);
  });

  it.each(['asyncep', 'sync', 'pp', 'ep', 'dp-tp', 'tp-ep', 'tp'] as const)('%s takes as long as without it where host memory has no limit', (strategy) => {
    // One pass at a time where rows travel: a round of several waits for the one before.
    const shape = shapeOf(strategy, { ranks: 2, lengths: [64, 30, 64, 64, 9, 64, 64], link: linkOf(4 * EXPERT_BYTES, 2), inFlight: strategy === 'pp' ? 3 : 1 });
    const without = predictRun({ ...shape, offload: { layers: 0 } });
    expect(predictRun(shape).wallMs).toBeCloseTo(without.wallMs, 9);
    expect(without.ranks.map(({ loadedBytes }) => loadedBytes)).toEqual([0, 0]);
  });
});

describe('the window', () => {
  it('never holds more than k layers beside the one that computes', () => {
    const arbitrary = fc.record({
      strategy: fc.constantFrom('asyncep' as const, 'ep' as const, 'tp' as const, 'pp' as const), layers: fc.integer({ min: 1, max: 4 }), depth: fc.integer({ min: 1, max: 4 }),
      ms: fc.double({ min: 0.01, max: 3, noNaN: true }), dense: fc.constantFrom([], [2], [0, 3]), lengths: fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 9 }),
    });
    fc.assert(fc.property(arbitrary, ({ strategy, layers, depth, ms, dense, lengths }) => {
      const config = smallConfig({ num_hidden_layers: 7, mlp_only_layers: dense });
      const shape = shapeOf(strategy, { config, ranks: 2, lengths, offload: { layers }, depth, link: linkOf(EXPERT_BYTES, ms), hostBytesPerSecond: rateOf(LAYER_BYTES, ms * layerMs) });
      const { schedule: { steps, startMs, endMs } } = predictRun(shape);
      for (const rank of [0, 1]) {
        const loads = steps.flatMap((step, i) => (step.kind === 'load' && step.rank === rank ? [{ ...step, index: i }] : []));
        // From when a layer's load begins until the work that awaits it is over, its slot is taken.
        const taken = loads.map(({ index }) => {
          const users = steps.flatMap((step, i) => (step.kind === 'compute' && step.rank === rank && step.after.includes(index) ? [endMs[i] as number] : []));
          return [startMs[index] as number, Math.max(endMs[index] as number, ...users)] as const;
        });
        for (const [from] of taken) expect(taken.filter(([start, end]) => start <= from && end > from).length).toBeLessThanOrEqual(layers + 1);
      }
    }), { numRuns: 60 });
  });

  // Two layers, or as many as the window is ahead, had been read when the run before ended, as far as slots were free.
  it.each([[1, 2], [2, 2], [3, 3]])('of %d layers loads one as soon as the layer k + 1 places before it has been computed, but for %d', (layers, there) => {
    const { schedule: { steps, startMs, endMs } } = predictRun(shapeOf('asyncep', { offload: { layers }, hostBytesPerSecond: rateOf(LAYER_BYTES, layerMs / 50) }));
    const streamed = steps.flatMap(({ kind, layer }, i) => (kind === 'compute' && layer !== 0 ? [i] : []));
    const loads = steps.flatMap(({ kind }, i) => (kind === 'load' ? [i] : []));
    expect([streamed.length, loads.length]).toEqual([12, 12]);
    expect(loads.filter((load) => steps[load]?.pass === 4).length).toBe(there); // for the run after this one
    for (const [i, load] of loads.entries()) {
      const user = streamed[there + i - layers - 1];
      expect(startMs[load]).toBeCloseTo(user === undefined ? 0 : (endMs[user] as number), 9);
    }
  });

  it('of more layers rides out a stretch that computes too little to hide its loads', () => {
    // Loads take half as long as a long pass's layers and much longer than a short one's.
    const lengths = [128, 8, 128, 8, 128, 8, 128, 8, 128, 8];
    const wallMs = (layers: number): number => predictRun(shapeOf('asyncep', { lengths, batchTokens: 128, offload: { layers }, hostBytesPerSecond: rateOf(LAYER_BYTES, layerMs) })).wallMs;
    expect(wallMs(2)).toBeLessThan(wallMs(1));
    expect(wallMs(3)).toBeLessThan(wallMs(2));
  });
});

describe('experts that stay with their rank', () => {
  it.each([['ep', 4 * EXPERT_BYTES], ['tp-ep', 4 * EXPERT_BYTES], ['tp', LAYER_BYTES / 2], ['dp-tp', LAYER_BYTES / 2]] as const)(
    '%s brings its part of a layer in once for all passes of a round',
    (strategy, layerBytes) => {
      // 10 passes in rounds of three: four rounds, of three streamed layers each.
      const own = strategy === 'ep' || strategy === 'dp-tp';
      const shape = shapeOf(strategy, { ranks: 2, inFlight: 3, lengths: Array.from({ length: 20 }, () => 64), batchTokens: own ? 3 * 64 : 64 * 3 });
      const { ranks, schedule: { steps } } = predictRun(shape);
      expect(new Set(steps.flatMap(({ kind, pass }) => (kind === 'compute' ? [pass] : []))).size).toBe(10);
      for (const { loadedBytes } of ranks) expect(loadedBytes).toBe(4 * 3 * layerBytes);
    },
  );

  it('a round begins when the one before it has ended', () => {
    const { schedule: { steps, startMs, endMs } } = predictRun(shapeOf('ep', { ranks: 2, inFlight: 2, lengths: [64, 64, 10, 10, 64, 64, 5, 5], batchTokens: 128, link: linkOf(EXPERT_BYTES, 1) }));
    const computes = steps.flatMap((step, i) => (step.kind === 'compute' ? [{ ...step, startMs: startMs[i] as number, endMs: endMs[i] as number }] : []));
    expect(new Set(computes.map(({ pass }) => pass)).size).toBeGreaterThan(2);
    for (const rank of [0, 1]) {
      const own = computes.filter((step) => step.rank === rank);
      const [first, second] = [own.filter(({ pass }) => pass < 2), own.filter(({ pass }) => pass >= 2)];
      expect(Math.min(...second.map((step) => step.startMs))).toBeGreaterThanOrEqual(Math.max(...first.map((step) => step.endMs)) - 1e-9);
    }
  });

  it('a stage brings its layers in for every pass, but its first', () => {
    const { ranks } = predictRun(shapeOf('pp', { ranks: 2, lengths: Array.from({ length: 6 }, () => 300), batchTokens: 300 }));
    // Four layers, two on each stage.
    for (const { loadedBytes } of ranks) expect(loadedBytes).toBe(6 * LAYER_BYTES);
  });
});

describe('what cannot be offloaded is refused as a real run refuses it', () => {
  it.each([
    ['resident', 1, '--offload: resident keeps every expert on the device and has nothing to bring in; expected asyncep or sync'],
    ['asyncep', 1.5, '--offload: 1.5 layers asked for; expected a whole number of layers to hold ahead of the one that computes'],
  ] as const)('%s, %d layers', (strategy, layers, message) => {
    expect(() => predictRun(shapeOf(strategy, { offload: { layers } }))).toThrow(message);
  });
});
