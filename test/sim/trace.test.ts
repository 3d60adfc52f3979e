/** A simulated run as a timeline, summed up as a real one is. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { predictRun } from '../../src/sim/cost.ts';
import { SIM_STRATEGIES, type RunShape, type SimStrategy } from '../../src/sim/run-shape.ts';
import { traceOf } from '../../src/sim/trace.ts';
import { writeTrace } from '../../src/trace/chrome-trace.ts';
import { readTrace } from '../../src/trace/read-trace.ts';
import { summarizeTrace } from '../../src/trace/summary.ts';
import { smallConfig } from './small-config.ts';

const EXPERT_BYTES = 3 * 32 * 64 * 2;
const shapeOf = (strategy: SimStrategy, changes: Partial<RunShape> = {}): RunShape => ({
  config: smallConfig(), strategy, ranks: 2, lengths: [64, 64, 64, 64], batchTokens: 64, candidates: 2, flopsPerSecond: 1e9,
  link: { bytesPerSecond: 2e7, latencyMs: 0 }, wire: 'bf16', weightBytes: 2, dispatch: 'rank', ...changes,
});

/** Any small run, with offload where the strategy has it. */
const anyRun = (strategy: SimStrategy) => fc.record({
  ranks: fc.integer({ min: 1, max: 4 }), lengths: fc.array(fc.integer({ min: 1, max: 150 }), { minLength: 1, maxLength: 12 }), rate: fc.double({ min: 1e5, max: 1e9, noNaN: true }),
  layers: fc.constantFrom(0, 1, 2), latencyMs: fc.constantFrom(0, 0.3),
}).map(({ ranks, lengths, rate, layers, latencyMs }) => shapeOf(strategy, {
  ranks, lengths, link: { bytesPerSecond: rate, latencyMs }, hostBytesPerSecond: rate, ...(strategy !== 'resident' && { offload: { layers } }),
}));

const anySpans = (shape: RunShape) => {
  const { schedule, ranks } = predictRun(shape);
  return { schedule, ranks, events: traceOf(schedule) };
};

describe('a simulated run in numbers', () => {
  it.each(SIM_STRATEGIES)('%s: compute and transfer of the timeline are those of the prediction, rank by rank', (strategy) => {
    fc.assert(fc.property(anyRun(strategy), (shape) => {
      const { ranks, events } = anySpans(shape);
      const summary = new Map(summarizeTrace(events).ranks.map((rank) => [rank.rank, rank]));
      for (const { rank, computeMs, transferMs } of ranks) {
        expect(summary.get(rank)?.computeMs ?? 0).toBeCloseTo(computeMs, 6);
        expect(summary.get(rank)?.transferMs ?? 0).toBeCloseTo(transferMs, 6);
      }
    }), { numRuns: 25 });
  });

  it.each(['sync', 'asyncep', 'ep', 'dp-tp', 'tp-ep', 'tp'] as const)('%s: exposed is what the prediction says, where every transfer is waited for', (strategy) => {
    // Ranks with equal work, one pass at a time; what asyncep reads for a run after this one nobody waits for.
    const shape = shapeOf(strategy, { inFlight: 1, lengths: [64, 64], ...(strategy.startsWith('tp') && { batchTokens: 128 }), link: { bytesPerSecond: 1e6, latencyMs: 0 } });
    const { schedule, ranks, events } = anySpans(shape);
    const wallUs = predictRun(shape).wallMs * 1000;
    const afterwardsMs = strategy === 'asyncep' ? schedule.wallMs - wallUs / 1000 : 0;
    for (const { rank, exposedMs, transferMs, overlapEfficiency } of summarizeTrace(events).ranks) {
      const predicted = (ranks[rank]?.exposedMs ?? 0) - afterwardsMs;
      expect(predicted).toBeGreaterThan(0);
      expect(exposedMs).toBeCloseTo(predicted, 6);
      expect(overlapEfficiency).toBeCloseTo(1 - predicted / transferMs, 9);
    }
  });

  it.each(['sync', 'asyncep'] as const)('%s: a device stands still for nothing but bytes, with offload or without', (strategy) => {
    fc.assert(fc.property(anyRun(strategy), (shape) => {
      const { schedule: { steps, endMs }, ranks, events } = anySpans(shape);
      for (const { rank, exposedMs } of summarizeTrace(events).ranks) {
        const lastMs = steps.reduce((last, step, i) => (step.kind === 'compute' && step.rank === rank ? Math.max(last, endMs[i] as number) : last), 0);
        expect(exposedMs).toBeCloseTo(lastMs - (ranks[rank]?.computeMs ?? 0), 6);
      }
    }), { numRuns: 40 });
  });

  it('pp: a stage that waits for its first rows stands still while those before it compute', () => {
    const { ranks, events } = anySpans(shapeOf('pp', { ranks: 2, lengths: [200], link: { bytesPerSecond: 1e6, latencyMs: 0 } }));
    const waits = events.filter(({ track }) => track === 'wait');
    expect(waits.map(({ rank, name, args }) => [rank, name, args])).toEqual([[1, 'wait for rows of pass 0', { pass: 0 }]]);
    expect((waits[0]?.durationUs ?? 0) / 1000).toBeCloseTo((ranks[0]?.computeMs ?? 0) + (200 * 64) / 1000, 6);
  });
});

describe('its bars', () => {
  const namesOf = (shape: RunShape, pass: number) => {
    const byTrack: Record<string, string[]> = {};
    for (const { rank, track, name, args } of anySpans(shape).events) if (rank === 0 && args?.['pass'] === pass) (byTrack[track] ??= []).push(name);
    return Object.fromEntries(Object.entries(byTrack).map(([track, names]) => [track, [...new Set(names)]]));
  };

  it('have the names of a run whose experts travel', () => {
    expect(namesOf(shapeOf('sync', { offload: { layers: 1 }, hostBytesPerSecond: 1e6 }), 1)).toEqual({
      compute: ['layer 0', 'layer 1', 'layer 2', 'layer 3', 'head'],
      receive: ['gather layer 1', 'gather layer 2', 'gather layer 3'],
      slot: ['copy layer 1', 'copy layer 2', 'copy layer 3'],
      wait: ['wait for layer 1', 'wait for layer 2', 'wait for layer 3'],
    });
  });

  it('have the names of a run whose rows travel', () => {
    const config = smallConfig({ num_hidden_layers: 2 });
    const [ep, tp] = [namesOf(shapeOf('ep', { config }), 0), namesOf(shapeOf('tp', { config, batchTokens: 128 }), 0)];
    expect(ep['send']).toEqual(['dispatch layer 0', 'combine layer 0', 'dispatch layer 1', 'combine layer 1']);
    expect(tp['receive']).toEqual(['gather rows of layer 0', 'reduce rows of layer 0', 'gather rows of layer 1', 'reduce rows of layer 1']);
    expect(tp['wait']).toContain('wait for rows of layer 1');
    expect(namesOf(shapeOf('pp', { config }), 1)).toEqual({ compute: ['layer 0'], send: ['rows of pass 1'] });
  });

  it('carry the bytes, layer and pass of what travels', () => {
    const { events } = anySpans(shapeOf('asyncep', { lengths: [64, 64], offload: { layers: 1 }, hostBytesPerSecond: 1e6 }));
    // The first two layers were fetched by the run before, as this one does for the next.
    expect(events.filter(({ rank, track }) => rank === 0 && track === 'receive').map(({ args }) => args)).toEqual([
      { pass: 0, layer: 3, bytes: 4 * EXPERT_BYTES }, { pass: 1, layer: 1, bytes: 4 * EXPERT_BYTES }, { pass: 1, layer: 2, bytes: 4 * EXPERT_BYTES },
    ]);
    expect(events.filter(({ rank, track }) => rank === 0 && track === 'slot').map(({ args }) => args?.['layer'])).toEqual([3, 1, 2]);
  });

  it('are those of a file that asyncep timeline reads', () => {
    const { events } = anySpans(shapeOf('ep', { offload: { layers: 1 }, hostBytesPerSecond: 1e6 }));
    const read = readTrace(JSON.parse(JSON.stringify(writeTrace(events))), 'simulated');
    expect(summarizeTrace(read.events)).toEqual(summarizeTrace(events));
  });

  it('of layers split a step of several by their FLOPs', () => {
    const { schedule: { steps }, events } = anySpans(shapeOf('pp', { lengths: [64], candidates: 100 }));
    const compute = events.filter(({ track, rank }) => track === 'compute' && rank === 1);
    const parts = steps.find(({ kind, rank }) => kind === 'compute' && rank === 1)?.parts ?? [];
    expect(compute.map(({ name }) => name)).toEqual(['layer 2', 'layer 3', 'head']);
    for (const [i, { flops }] of parts.entries()) expect(compute[i]?.durationUs).toBeCloseTo(flops / 1e3, 6);
  });
});
