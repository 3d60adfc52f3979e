/** Experts with known bytes, for tests of everything that moves them. */
import { alignExpert, type PackExpert, type ShardGeometry } from '../../src/collective/transport.ts';

export function sampleGeometry(overrides: Partial<ShardGeometry> & { blobBytes?: number } = {}): ShardGeometry {
  const { blobBytes = 700, ...rest } = overrides;
  return { modelHash: 'sample', dtype: 'f16', world: 1, numExperts: 5, layers: [1, 2, 4], expertBytes: alignExpert(blobBytes), ...rest };
}

/** The packed bytes of one expert: different for every (layer, expert), shorter than the stride so that padding shows. */
export function sampleExpert(geometry: ShardGeometry, layer: number, expert: number): Uint8Array {
  const bytes = new Uint8Array(geometry.expertBytes - 68);
  let state = (layer * 7919 + expert * 104729 + 1) >>> 0;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export const samplePack =
  (geometry: ShardGeometry): PackExpert =>
  async (layer, expert) =>
    sampleExpert(geometry, layer, expert);

/** The stored bytes of experts [first, first + count) of a layer, padding included. */
export function sampleRun(geometry: ShardGeometry, layer: number, first: number, count: number): Uint8Array {
  const bytes = new Uint8Array(count * geometry.expertBytes);
  for (let e = 0; e < count; e++) bytes.set(sampleExpert(geometry, layer, first + e), e * geometry.expertBytes);
  return bytes;
}
