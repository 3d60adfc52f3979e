import { describe, expect, it } from 'vitest';
import { alignExpert } from '../../src/collective/transport.ts';
import { sampleGeometry, sampleRun } from './sample-shards.ts';
import { gatherLayer, openRing, type RingRank } from './websocket-worlds.ts';

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

describe('a ring of ranks', () => {
  it.each([
    { world: 1, numExperts: 4, expertBytes: 1024 },
    { world: 2, numExperts: 5, expertBytes: 1024 },
    { world: 3, numExperts: 6, expertBytes: alignExpert(700_000) },
    { world: 4, numExperts: 6, expertBytes: alignExpert(1_300_000) },
  ])('brings every layer to all of $world ranks, byte for byte, pass after pass ($numExperts experts of $expertBytes bytes)', async ({ world, numExperts, expertBytes }) => {
    const geometry = sampleGeometry({ world, numExperts, expertBytes });
    const ring = await openRing(geometry);
    const passes = 3;
    const wrong: string[] = [];
    const read = async (rank: RingRank, index: number): Promise<void> => {
      for (let pass = 0; pass < passes; pass++) {
        for (const layer of geometry.layers) {
          const got = await gatherLayer(rank, geometry, layer, 1 + ((index + pass) % 3));
          if (!same(got, sampleRun(geometry, layer, 0, numExperts))) wrong.push(`rank ${index} pass ${pass} layer ${layer}`);
        }
      }
    };
    await Promise.all(ring.ranks.map(read));
    const counts = ring.ranks.map(({ host }) => host.transport.transferred());
    await ring.close();
    expect(wrong).toEqual([]);
    const layerBytes = numExperts * expertBytes * geometry.layers.length * passes;
    expect(counts.reduce((sum, { sentBytes }) => sum + sentBytes, 0)).toBe((world - 1) * layerBytes);
    expect(counts.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0)).toBe((world - 1) * layerBytes);
  });
});
