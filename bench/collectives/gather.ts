/** Weights of all peers into mapped buffers of this rank's device: what AsyncEP does for a layer, without the rest. */
import type { ShardReader, Transport } from '../../src/collective/transport.ts';
import { openRig } from '../rig.ts';
import { LAYERS, type ShardShape } from './jobs.ts';
import type { ShardGeometry } from '../../src/collective/transport.ts';

export const geometryOf = ({ expertsPerRank, expertBytes }: ShardShape, world: number): ShardGeometry => ({
  modelHash: 'bench', dtype: 'bf16', world, numExperts: expertsPerRank * world, expertBytes, layers: Array.from({ length: LAYERS }, (_, layer) => layer),
});

export function publish(transport: Transport, geometry: ShardGeometry): Promise<string> {
  const blob = new Uint8Array(geometry.expertBytes);
  for (let i = 0; i < blob.length; i++) blob[i] = (i * 2654435761) >>> 24;
  return transport.publish(geometry, async () => blob);
}

/** Mapped buffers for every peer's part of a layer; stay mapped. */
export async function staging(adapter: string, peers: number, bytes: number): Promise<Uint8Array[]> {
  const { gpu } = await openRig(adapter);
  return Array.from({ length: peers }, () => {
    const buffer = gpu.device.createBuffer({ size: bytes, usage: GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC, mappedAtCreation: true });
    return new Uint8Array(buffer.getMappedRange());
  });
}

/** One layer of each peer; `readers` in the order in which this rank takes them. */
export async function gatherLayer(readers: readonly ShardReader[], into: readonly Uint8Array[], layer: number, ring: boolean): Promise<void> {
  const reads = readers.map((reader, n) => () => reader.read(layer, reader.range.first, reader.range.count, into[n] as Uint8Array));
  // A ring brings all peers' bytes in one stream; segments are read one after the other.
  if (ring) await Promise.all(reads.map((read) => read()));
  else for (const read of reads) await read();
}
