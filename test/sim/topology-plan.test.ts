import { describe, expect, it } from 'vitest';
import { hardwarePreset } from '../../src/sim/presets/hardware.ts';
import { modelPreset } from '../../src/sim/presets/models.ts';
import { deviceMemory } from '../../src/sim/plan/memory.ts';
import { planTransfer } from '../../src/sim/plan/transfer.ts';
import { DGX_H100, nodesOf, type Arrangement } from '../../src/sim/topology.ts';
import { planTopology, type TopologyPlan, type TopologySetting } from '../../src/sim/topology-plan.ts';

const SETTING: TopologySetting = { config: modelPreset('qwen3-235b-a22b').config, hardware: hardwarePreset('h100-80'), precision: 'fp8', offload: 0, gamma: 1.2 };
const BATCH = { tokens: 65_536, contextTokens: 4096 };
const NODES = nodesOf(DGX_H100);
const plan = (arrangement: Arrangement, changes: Partial<TopologySetting> = {}): TopologyPlan => planTopology({ ...SETTING, ...changes }, arrangement, NODES, BATCH);

/** Bytes of all experts of a layer in FP8, the paper's 2.416 G, and of the 93 layers that are streamed. */
const LAYER = 128 * 3 * 4096 * 1536;
const STREAMED = 93 * LAYER;

describe('the plan of an arrangement', () => {
  it('on one node is the plan of the machine, but for the latency of a hop', () => {
    const machine = { ...SETTING, ranks: 8, kv: 'layer', cacheTokens: 0 } as const;
    const { transferMs, threshold, thresholdTokens, memory } = plan({ kind: 'replicas', ranks: 8, worldRanks: 8 });
    const known = planTransfer(machine);
    expect(transferMs - NODES.inside.latencyMs).toBeCloseTo(known.gatherMs - 0.01, 9);
    expect(threshold / transferMs / (known.batchThreshold / known.transferMs)).toBeCloseTo(1, 12);
    expect(thresholdTokens / (known.reach.find(({ contextTokens }) => contextTokens === 4096)?.tokens ?? 0)).toBeCloseTo(transferMs / known.transferMs, 3);
    expect(memory).toEqual(deviceMemory(machine, 'asyncep', BATCH));
  });

  it('holds one W-th of the experts on a device, also where that is less than an expert', () => {
    for (const [arrangement, world] of [
      [{ kind: 'replicas', ranks: 1024, worldRanks: 8 }, 8], [{ kind: 'replicas', ranks: 1024, worldRanks: 32 }, 32], [{ kind: 'rings', ranks: 1000 }, 1000], [{ kind: 'flat', ranks: 64 }, 64],
    ] as const) expect(plan(arrangement).memory.shard / (STREAMED / world)).toBeCloseTo(1, 12);
  });

  it('leaves the room of what a smaller shard saves to keys and values, 2 x 94 layers x 4 heads x 128 x 2 bytes a token', () => {
    const [eight, all] = [plan({ kind: 'replicas', ranks: 1000, worldRanks: 8 }), plan({ kind: 'rings', ranks: 1000 })];
    const saved = (STREAMED / 8 - STREAMED / 1000) / (2 * 94 * 4 * 128 * 2);
    expect(Math.abs(all.roomTokens - eight.roomTokens - saved)).toBeLessThanOrEqual(1);
  });

  it('with offload brings a shard in from host memory at the same time, and keeps none on the device', () => {
    const [without, offloaded] = [plan({ kind: 'replicas', ranks: 8, worldRanks: 8 }), plan({ kind: 'replicas', ranks: 8, worldRanks: 8 }, { offload: 1 })];
    expect(offloaded.hostMs).toBeCloseTo((LAYER / 8 / 64e9) * 1000, 9);
    expect(offloaded.transferMs).toBe(Math.max(without.gatherMs, offloaded.hostMs));
    expect([without.hostMs, offloaded.memory.shard]).toEqual([0, 0]);
    // A shard of a thousandth is there long before the gather.
    const far = plan({ kind: 'rings', ranks: 1000 }, { offload: 1 });
    expect([far.hostMs < far.gatherMs / 100, far.transferMs]).toEqual([true, far.gatherMs]);
  });

  it('needs longer batches in a flat ring over nodes, in proportion to t_EP', () => {
    const [flat, node] = [plan({ kind: 'flat', ranks: 1000 }), plan({ kind: 'replicas', ranks: 1000, worldRanks: 8 })];
    expect(flat.thresholdTokens / node.thresholdTokens).toBeCloseTo(flat.transferMs / node.transferMs, 3);
    expect(flat.hiddenTokens / flat.thresholdTokens).toBeCloseTo(0.32 / 1.2, 3);
  });
});
