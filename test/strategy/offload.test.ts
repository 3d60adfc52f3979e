/** Streams whose own experts come back from host memory too. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ShardGeometry, ShardReader } from '../../src/collective/transport.ts';
import { createStream, relayPass, type StreamStrategy } from '../../src/strategy/index.ts';
import { compareMemory, expertMemory, memoryIsAsPlanned } from '../../src/strategy/memory.ts';
import type { StreamContext, StreamSettings } from '../../src/strategy/context.ts';
import { sampleRun } from '../collective/sample-shards.ts';
import { contextOf, openRig, openShards, runPass, sampleGeometry, type Rig } from './rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await openRig('lavapipe');
});
afterAll(() => rig.close());

interface Read {
  readonly rank: number;
  readonly layer: number;
  readonly first: number;
}

/** The same readers, and what was read from them. */
function watched(readers: readonly ShardReader[]): { readers: ShardReader[]; reads: Read[] } {
  const reads: Read[] = [];
  return {
    reads,
    readers: readers.map(({ rank, range, ...reader }) => ({
      rank, range, ...reader,
      read: (layer, first, count, into) => {
        reads.push({ rank, layer, first });
        return reader.read(layer, first, count, into);
      },
    })),
  };
}

async function opened(strategy: StreamStrategy, geometry: ShardGeometry, rank: number, settings: Partial<StreamSettings>, rest: Partial<StreamContext> = {}) {
  const shards = await openShards(geometry, rank);
  const { readers, reads } = watched(shards.readers);
  for (const part of Object.keys(rig.allocated)) delete rig.allocated[part];
  const context = contextOf(rig, geometry, rank, readers, { settings, ...rest });
  const stream = await createStream(strategy, context);
  const close = async (): Promise<void> => {
    await stream.close();
    await shards.close();
  };
  return { context, stream, reads, close };
}

describe.each(['asyncep', 'sync'] as const)('%s with offload', (strategy) => {
  it.each([
    { world: 1, rank: 0, k: 1 }, { world: 1, rank: 0, k: 3 }, { world: 2, rank: 1, k: 1 }, { world: 3, rank: 1, k: 2 }, { world: 3, rank: 2, k: 50 },
  ])('of $k layers puts the packed experts of every layer into its slot, on rank $rank of $world', async ({ world, rank, k }) => {
    for (const layers of [[0, 1, 2, 3, 4], [3, 5, 6], [2], []]) {
      const geometry = sampleGeometry({ world, numExperts: 11, layers });
      const { stream, close } = await opened(strategy, geometry, rank, { offloadLayers: k }, { bankBytes: 3 * geometry.expertBytes });
      for (let pass = 0; pass < 3; pass++) {
        const seen = await runPass(rig, stream, geometry, pass);
        for (const layer of layers) {
          const same = Buffer.compare(seen.get(layer) as Uint8Array, sampleRun(geometry, layer, 0, geometry.numExperts)) === 0;
          expect(same, `pass ${pass}, layer ${layer} of ${layers.join(', ')}`).toBe(true);
        }
      }
      await close();
    }
  });

  it('holds the first layer and the window on the device, and no shard', async () => {
    const geometry = sampleGeometry({ world: 3, numExperts: 8, blobBytes: 5000, layers: [0, 1, 2, 3, 4] });
    const layer = 8 * geometry.expertBytes;
    for (const [k, slots] of [[1, 2], [2, 3], [4, 5], [9, 5]] as const) {
      const { context, close } = await opened(strategy, geometry, 2, { offloadLayers: k, pieceBytes: 2 * geometry.expertBytes }, { bankBytes: 3 * geometry.expertBytes });
      const rows = compareMemory(expertMemory(strategy, context), rig.allocated);
      expect(memoryIsAsPlanned(rows), JSON.stringify(rows)).toBe(true);
      expect(rows.map(({ name }) => name)).toEqual(['first layer', 'slots', 'staging']);
      const device = rows.filter(({ where }) => where === 'device').reduce((sum, row) => sum + row.allocatedBytes, 0);
      expect(device).toBe(layer + (strategy === 'asyncep' ? slots : 1) * layer);
      // Staging holds at most a layer, in pieces of equal size.
      expect(rig.allocated['staging']).toBeLessThanOrEqual(2 * layer);
      await close();
    }
  });

  it('counts own bytes apart from those of peers, which alone travel over a link', async () => {
    const geometry = sampleGeometry({ world: 2, numExperts: 5, layers: [0, 1, 2] });
    const { stream, close } = await opened(strategy, geometry, 1, { offloadLayers: 1 });
    await runPass(rig, stream, geometry, 0);
    const { layers } = stream.takeStats();
    // Rank 1 owns two experts of five.
    for (const { hostBytes, offloadedBytes, ownBytes } of layers) {
      expect(ownBytes).toBe(0);
      expect(offloadedBytes).toBeGreaterThan(0);
      expect(hostBytes / 3).toBe(offloadedBytes / 2);
      expect(hostBytes % (3 * geometry.expertBytes)).toBe(0);
    }
    await close();
  });
});

describe('offload', () => {
  it('brings k layers into slots ahead of the one that computes', async () => {
    const geometry = sampleGeometry({ world: 1, layers: [0, 1, 2, 3, 4, 5] });
    for (const k of [1, 2, 3]) {
      const { stream, reads, close } = await opened('asyncep', geometry, 0, { offloadLayers: k, depth: 1 });
      stream.begin(0);
      await stream.ready(0);
      stream.done(0);
      await stream.ready(1);
      await rig.device.queue.onSubmittedWorkDone();
      await new Promise((resolve) => setTimeout(resolve, 50));
      // Layer 1 computes; k layers were read for the slots behind it, and nothing beyond.
      expect(Math.max(...reads.map(({ layer }) => layer))).toBe(1 + k);
      await close();
    }
  });

  it('is refused where all experts stay on the device, and where it is no number of layers', async () => {
    const message = (strategy: StreamStrategy, offloadLayers: number): Promise<string> =>
      opened(strategy, sampleGeometry({ world: 1 }), 0, { offloadLayers }).then(() => 'accepted', (error: Error) => error.message);
    expect(await message('resident', 1)).toBe('--offload: resident keeps every expert on the device and has nothing to bring in; expected asyncep or sync');
    expect(await message('asyncep', 1.5)).toBe('--offload: 1.5 layers asked for; expected a whole number of layers to hold ahead of the one that computes');
    expect(await message('sync', -1)).toContain('-1 layers asked for');
  });
});

describe('reading of a layer', () => {
  it('goes to the predecessor first, then to the one before it, as a ring delivers', async () => {
    const geometry = sampleGeometry({ world: 4, numExperts: 8, layers: [0, 1] });
    for (const rank of [0, 1, 3]) {
      const { reads, stream, close } = await opened('asyncep', geometry, rank, { depth: 1 });
      await runPass(rig, stream, geometry, 0);
      const streamed = reads.filter(({ layer, rank: owner }) => layer === 1 && owner !== rank).slice(0, 3);
      expect(streamed.map((read) => read.rank)).toEqual([1, 2, 3].map((step) => (rank - step + 4) % 4));
      await close();
    }
  });

  it('takes own pieces between those of peers', async () => {
    const geometry = sampleGeometry({ world: 2, numExperts: 8, layers: [0, 1] });
    const { reads, stream, close } = await opened('sync', geometry, 0, { offloadLayers: 1, pieceBytes: 1 });
    await runPass(rig, stream, geometry, 0);
    const owners = reads.filter(({ layer }) => layer === 1).map(({ rank }) => rank);
    expect(owners).toEqual([1, 0, 1, 0, 1, 0, 1, 0]);
    await close();
  });
});

describe('a relayed pass', () => {
  it.each(['asyncep', 'sync', 'resident'] as const)('goes through all layers of %s, and the next one sees the right experts', async (strategy) => {
    const geometry = sampleGeometry({ world: 2, layers: [1, 2, 4] });
    const { stream, close } = await opened(strategy, geometry, 0, {});
    await relayPass(stream, geometry.layers, 0);
    const gathered = stream.takeStats().layers.filter(({ gathers }) => gathers > 0).map(({ layer }) => layer);
    expect(gathered).toEqual(strategy === 'resident' ? [] : [2, 4]);
    const seen = await runPass(rig, stream, geometry, 1);
    for (const layer of geometry.layers) expect(Buffer.compare(seen.get(layer) as Uint8Array, sampleRun(geometry, layer, 0, geometry.numExperts))).toBe(0);
    await relayPass(stream, geometry.layers, 2);
    await close();
  });
});
