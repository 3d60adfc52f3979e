import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SharedMemoryTransport } from '../../src/collective/shared-memory.ts';
import type { ShardGeometry } from '../../src/collective/transport.ts';
import { STREAM_STRATEGIES, createStream, type StreamStrategy } from '../../src/strategy/index.ts';
import type { StreamContext } from '../../src/strategy/context.ts';
import { sampleRun } from '../collective/sample-shards.ts';
import { contextOf, openRig, openShards, runPass, sampleGeometry, type Rig } from './rig.ts';

const PASSES = 3;

/** Runs several passes and compares what every layer saw, byte for byte, with what was packed. */
async function expectPackedBytes(rig: Rig, strategy: StreamStrategy, geometry: ShardGeometry, rank: number, rest: Partial<StreamContext> = {}): Promise<void> {
  const shards = await openShards(geometry, rank);
  const stream = await createStream(strategy, contextOf(rig, geometry, rank, shards.readers, rest));
  try {
    for (let pass = 0; pass < PASSES; pass++) {
      const seen = await runPass(rig, stream, geometry, pass);
      for (const layer of geometry.layers) {
        const same = Buffer.compare(seen.get(layer) as Uint8Array, sampleRun(geometry, layer, 0, geometry.numExperts)) === 0;
        expect(same, `${strategy}, rank ${rank} of ${geometry.world}, pass ${pass}, layer ${layer}`).toBe(true);
      }
    }
  } finally {
    await stream.close();
    await shards.close();
  }
}

describe('on lavapipe', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await openRig('lavapipe');
  });
  afterAll(() => rig.close());

  describe.each(STREAM_STRATEGIES)('%s puts the packed experts of every layer into its slot', (strategy) => {
    it.each([1, 2, 3, 4, 5, 6, 7, 8])('with %i ranks, 11 experts in four banks', async (world) => {
      const geometry = sampleGeometry({ world, numExperts: 11, layers: [1, 2, 4, 5] });
      const bankBytes = 3 * geometry.expertBytes + 17;
      for (const rank of new Set([0, world - 1])) await expectPackedBytes(rig, strategy, geometry, rank, { bankBytes });
    });

    it.each([0, 1, 2, 3, 4])('with %i MoE layers in all', async (layers) => {
      const geometry = sampleGeometry({ world: 2, layers: Array.from({ length: layers }, (_, l) => 2 * l) });
      await expectPackedBytes(rig, strategy, geometry, 1);
    });

    it('in pieces of one expert through a single staging buffer', async () => {
      const geometry = sampleGeometry({ world: 3, numExperts: 7 });
      await expectPackedBytes(rig, strategy, geometry, 1, { settings: { pieceBytes: 1, stagingBytes: 1 } });
    });

    it('in one bank, with experts of some MiB', async () => {
      const geometry = sampleGeometry({ world: 2, numExperts: 5, blobBytes: 5 << 20, layers: [0, 1, 2] });
      await expectPackedBytes(rig, strategy, geometry, 0);
    });
  });

  it.each([1, 2, 3, 5])('asyncep does so with a lead of %i layers', async (depth) => {
    const geometry = sampleGeometry({ world: 2, layers: [0, 1, 2, 3, 4] });
    await expectPackedBytes(rig, 'asyncep', geometry, 0, { settings: { depth } });
  });

  it('streams from shared memory and leaves nothing there', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'asyncep-test-'));
    const geometry = sampleGeometry({ world: 3, numExperts: 8, blobBytes: 200_000 });
    const shards = await openShards(geometry, 2, (rank) => new SharedMemoryTransport(rank, 'test', folder));
    const stream = await createStream('asyncep', contextOf(rig, geometry, 2, shards.readers));
    for (let pass = 0; pass < PASSES; pass++) {
      const seen = await runPass(rig, stream, geometry, pass);
      for (const layer of geometry.layers) expect(Buffer.compare(seen.get(layer) as Uint8Array, sampleRun(geometry, layer, 0, 8))).toBe(0);
    }
    await stream.close();
    await shards.close();
    expect(readdirSync(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
  });
});

describe('on SwiftShader', () => {
  it.each(STREAM_STRATEGIES)('%s puts the packed experts of every layer into its slot', async (strategy) => {
    const rig = await openRig('swiftshader');
    const geometry = sampleGeometry({ world: 3, numExperts: 8 });
    await expectPackedBytes(rig, strategy, geometry, 1, { bankBytes: 3 * geometry.expertBytes });
    rig.close();
  });
});
