/** From the sliders to the simulator, and what comes back. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { layerFlops } from '../../src/model/flops.ts';
import { presetConfig } from '../../src/model/presets.ts';
import { predictRun } from '../../src/sim/cost.ts';
import type { RunShape } from '../../src/sim/run-shape.ts';
import { memoryOf, trafficOf } from '../../web/learn/bytes.ts';
import { MACHINES, machineOf } from '../../web/learn/machines.ts';
import { eventsUntil, LATENCY_MS, modelOf, scenarioOf, sequencesOf, shapeOf } from '../../web/learn/scenario.ts';
import { change, FIRST_SETTINGS, RANGES, settings, type Settings } from '../../web/learn/settings.ts';

const set = (patch: Partial<Settings> = {}): Settings => ({ ...FIRST_SETTINGS, ...patch });

/** Bytes of an expert of Qwen3-235B-A22B in bf16: three matrices of 4096 x 1536. */
const EXPERT_BYTES = 3 * 4096 * 1536 * 2;
/** Of a token in a layer of it, with 255/2 tokens before it on average: projections, attention, router, experts. */
const flopsPerToken = (experts: number): number => layerFlops(presetConfig('qwen3-235b-a22b'), 1, { newTokens: 256 }).projections / 256
  + (4 * 64 * 128 * (256 * 257) / 2) / 256 + 2 * 4096 * experts + 6 * 8 * 4096 * 1536;

describe('what the simulator is asked', () => {
  it('is two batches of 256-token texts for each rank, on a model of the paper with nine layers', () => {
    const shape: RunShape = {
      config: presetConfig('qwen3-235b-a22b', { layers: 9 }), strategy: 'asyncep', ranks: 8, lengths: Array.from({ length: 2 * 8 * 32 }, () => 256), batchTokens: 8192, candidates: 2,
      flopsPerSecond: 316.64e12, link: { bytesPerSecond: 450e9, latencyMs: 0.01 }, wire: 'bf16', weightBytes: 2, dispatch: 'rank', depth: 1,
    };
    expect(shapeOf(set(), 'asyncep')).toEqual(shape);
    const { wallMs, ranks } = predictRun(shape);
    const { run } = scenarioOf(set());
    expect(run.wallMs).toBe(wallMs);
    expect(run.summary.mean.computeMs).toBeCloseTo(ranks[0]?.computeMs as number, 6);
  });

  it('has own experts in host memory when the offload window is open', () => {
    expect(shapeOf(set({ offload: 2, hostBytesPerSecond: 32e9 }), 'asyncep')).toMatchObject({ offload: { layers: 2 }, hostBytesPerSecond: 32e9 });
    expect(shapeOf(set(), 'asyncep')).not.toHaveProperty('offload');
  });

  it.each([[64, 32], [1280, 128], [1792, 128], [8192, 256], [65_536, 256], [16 * 1009, 8]])('%i tokens are an even number of texts of %i', (tokens, length) => {
    expect(sequencesOf(tokens)).toEqual({ count: tokens / length, length });
  });

  it('gives a token all experts where a layer has fewer than eight', () => {
    expect(modelOf({ experts: 8 })).toMatchObject({ numExperts: 8, numExpertsPerTok: 8, numHiddenLayers: 94 });
    expect(modelOf({ experts: 4 }).numExpertsPerTok).toBe(4);
  });
});

describe('the threshold', () => {
  it('is t_EP x F x gamma: seven of eight parts of 4.83 GB over 450 GB/s, at 316.64 TFLOP/s, with 1.2', () => {
    const transferMs = ((7 / 8) * 128 * EXPERT_BYTES) / 450e9 * 1000 + 0.01;
    const { threshold } = scenarioOf(set());
    expect(threshold.layerBytes).toBe(128 * EXPERT_BYTES);
    expect(threshold.transferMs).toBeCloseTo(transferMs, 9);
    expect(threshold.flops / ((transferMs / 1000) * 316.64e12 * 1.2)).toBeCloseTo(1, 9);
    expect(threshold.batchFlops / threshold.flops).toBeCloseTo(94, 9);
    expect(threshold.flopsPerToken / flopsPerToken(128)).toBeCloseTo(1, 6);
    expect(threshold.tokens).toBeCloseTo(threshold.flops / flopsPerToken(128), 0);
    expect(threshold.tokens / threshold.hiddenTokens).toBeCloseTo(1.2, 9);
  });

  it('is of the slower of two channels with offload, and 0 where nothing travels', () => {
    const { threshold } = scenarioOf(set({ offload: 1, hostBytesPerSecond: 16e9 }));
    expect(threshold.hostMs).toBeCloseTo((128 / 8) * EXPERT_BYTES / 16e9 * 1000, 6);
    expect(threshold.linkMs).toBeCloseTo(9.405, 3);
    expect(threshold.transferMs).toBe(threshold.hostMs);
    const alone = scenarioOf(set({ ranks: 1 }));
    expect(alone.threshold).toMatchObject({ transferMs: 0, flops: 0, tokens: 0, exposedMs: 0 });
    expect(alone.slots).toBe(0);
    expect(scenarioOf(set({ ranks: 1, offload: 2 }))).toMatchObject({ slots: 3, threshold: { linkMs: 0, hostMs: expect.closeTo((128 * EXPERT_BYTES) / 64e9 * 1000, 6) } });
  });

  /**
   * Two passes of layers 0 to 8, by hand. Layers 0 and 1 of the first are there, the gather of 2 begins with the run. Each of the 14 after it begins when the layer before it
   * does, and is waited for as long as it takes longer. Layer 8 takes next to no time: twice it may hide a bit of a gather. And while a
   * gather's latency goes by, the link is free for the next.
   */
  it('is where waiting begins, and what is waited for is what compute does not hide of 14 gathers', () => {
    fc.assert(fc.property(
      fc.constantFrom(1024, 2048, 4096, 8192, 16_384), fc.integer({ min: 2, max: 8 }), fc.constantFrom(32, 128), fc.double({ min: 5e10, max: 9e11, noNaN: true }), fc.constantFrom(0, 1),
      (tokens, ranks, experts, linkBytesPerSecond, offload) => {
        const { run, threshold: { transferMs, computeMs } } = scenarioOf(set({ tokens, ranks, experts, linkBytesPerSecond, offload }));
        const expectedMs = 14 * Math.max(0, transferMs - computeMs) + Math.max(0, transferMs - 2 * computeMs);
        const shortLayerMs = (run.summary.mean.computeMs - 16 * computeMs) / 2;
        expect(Math.abs(run.summary.mean.exposedMs - expectedMs)).toBeLessThanOrEqual(2 * shortLayerMs + 15 * LATENCY_MS + 1e-6);
      },
    ), { numRuns: 30 });
  });
});

describe('what happens after the last logits', () => {
  it('is not counted: what is read ahead for a later run is cut where the run ends', () => {
    const events = [[0, 4000], [4000, 9000], [6000, 9000]].map(([startUs, endUs]) => ({ name: '', rank: 0, track: 'receive' as const, startUs: startUs as number, durationUs: (endUs as number) - (startUs as number) }));
    expect(eventsUntil(events, 5).map(({ startUs, durationUs }) => [startUs, durationUs])).toEqual([[0, 4000], [4000, 1000]]);
    const { run } = scenarioOf(set());
    expect(run.summary.totalMs).toBeCloseTo(run.wallMs, 9);
  });
});

describe('bytes', () => {
  it('of baselines are those of the paper\'s table, sent and received', () => {
    const rows = (8 * 8192) * 4096 * 2;
    const both = (strategy: 'ep' | 'tp' | 'pp' | 'asyncep'): number => trafficOf(set(), strategy).sentBytes + trafficOf(set(), strategy).receivedBytes;
    expect(both('ep')).toBe(4 * 8 * (7 / 8) * rows);
    expect(both('tp')).toBe(4 * (7 / 8) * rows);
    expect(both('pp')).toBe(2 * rows);
    expect(both('asyncep')).toBe(2 * (7 / 8) * 128 * EXPERT_BYTES);
  });

  it('of a device are a whole first layer, an eighth of 93 more, and two slots', () => {
    const { parts } = memoryOf(set(), 'asyncep');
    expect(parts).toMatchObject({ firstLayer: 128 * EXPERT_BYTES, shard: 93 * 16 * EXPERT_BYTES, slots: 2 * 128 * EXPERT_BYTES });
    expect(memoryOf(set({ offload: 2 }), 'asyncep').parts).toMatchObject({ shard: 0, slots: 3 * 128 * EXPERT_BYTES });
    expect(memoryOf(set({ offload: 2 }), 'ep').parts.shard).toBe(94 * 16 * EXPERT_BYTES);
  });
});

describe('the settings', () => {
  it('stay in the sliders\' ranges, whole where they count things, with an expert for every rank', () => {
    change({ tokens: 1, ranks: 99, linkBytesPerSecond: 1 });
    expect(settings.value).toMatchObject({ tokens: 64, ranks: RANGES.ranks.most, linkBytesPerSecond: 1e9 });
    change({ tokens: 1001, offload: 1.6, experts: 1 });
    expect(settings.value).toMatchObject({ tokens: 1008, offload: 2, experts: 8 });
    change(FIRST_SETTINGS);
  });

  it('begin with a machine of the list, and each machine is found again', () => {
    expect(machineOf(FIRST_SETTINGS)?.name).toBe('h100-80');
    expect(MACHINES.map(({ name }) => name)).toEqual(['a100-80', 'h100-80', 'rtx-4090', 'm3-max', 'rx-7900-xtx']); // an H200 is an H100 here, and lavapipe is off the sliders
    for (const { name, patch } of MACHINES) expect(machineOf({ ...FIRST_SETTINGS, ...patch })?.name).toBe(name);
    expect(machineOf(set({ flopsPerSecond: 1e12 }))).toBeUndefined();
  });
});
