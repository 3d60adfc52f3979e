/** A device, shards with known bytes, and an engine that only copies slots out: what the tests of the streams stand on. */
import { InProcessHub } from '../../src/collective/in-process.ts';
import type { ShardGeometry, ShardReader, Transport } from '../../src/collective/transport.ts';
import type { CreateBuffer } from '../../src/strategy/banks.ts';
import type { StreamContext } from '../../src/strategy/context.ts';
import type { Slot, SlotStream } from '../../src/engine/slot-stream.ts';
import { openGpu } from '../../src/node/gpu.ts';
import { pacedWait } from '../../src/node/pacing.ts';
import { sampleGeometry, samplePack } from '../collective/sample-shards.ts';

export interface Rig {
  readonly device: GPUDevice;
  /** Bytes allocated, by part (the label up to the first "/"). */
  readonly allocated: Record<string, number>;
  readonly createBuffer: CreateBuffer;
  close(): void;
}

export async function openRig(adapterName: string): Promise<Rig> {
  const opened = await openGpu(adapterName);
  const requiredFeatures: GPUFeatureName[] = opened.adapter.features.has('timestamp-query') ? ['timestamp-query'] : [];
  const device = await opened.adapter.requestDevice({ requiredFeatures });
  const allocated: Record<string, number> = {};
  const createBuffer: CreateBuffer = (label, size, usage) => {
    const part = label.split('/')[0] as string;
    allocated[part] = (allocated[part] ?? 0) + size;
    // Slots are read back by the tests.
    const extra = usage & GPUBufferUsage.STORAGE ? GPUBufferUsage.COPY_SRC : 0;
    return device.createBuffer({ label, size, usage: usage | extra });
  };
  return {
    device, allocated, createBuffer,
    close: () => {
      device.destroy();
      opened.close();
    },
  };
}

/** Publishes the sample shards of a whole world and opens them all for one rank. */
export async function openShards(geometry: ShardGeometry, rank: number, make?: (rank: number) => Transport): Promise<{ readers: ShardReader[]; close(): Promise<void> }> {
  const hub = new InProcessHub();
  const transports = Array.from({ length: geometry.world }, (_, r) => (make ?? ((peer: number) => hub.transport(peer)))(r));
  const addresses = await Promise.all(transports.map((transport) => transport.publish(geometry, samplePack(geometry))));
  const readers = await Promise.all(addresses.map((address, peer) => (transports[rank] as Transport).open(peer, address, geometry)));
  return {
    readers,
    close: async () => {
      for (const reader of readers) await reader.close();
      for (const transport of transports) await transport.close();
    },
  };
}

export function contextOf(rig: Rig, geometry: ShardGeometry, rank: number, readers: readonly ShardReader[], rest: Partial<StreamContext> = {}): StreamContext {
  return {
    device: rig.device, createBuffer: rig.createBuffer, wait: pacedWait, geometry, rank, readers,
    bankBytes: 128 << 20, ...rest,
  };
}

export { sampleGeometry };

/** Copies a slot to a fresh buffer, as a layer's dispatches would read it: in queue order. */
function copyOut(device: GPUDevice, slot: Slot, numExperts: number): GPUBuffer {
  const bytes = numExperts * slot.expertBytes;
  const readback = device.createBuffer({ size: bytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  const bankBytes = slot.expertsPerBank * slot.expertBytes;
  for (const [b, bank] of slot.banks.entries()) encoder.copyBufferToBuffer(bank, 0, readback, b * bankBytes, bank.size);
  device.queue.submit([encoder.finish()]);
  return readback;
}

/** Runs a pass and returns the bytes that each layer's commands saw in its slot. */
export async function runPass(rig: Rig, stream: SlotStream, geometry: ShardGeometry, pass: number): Promise<Map<number, Uint8Array>> {
  const seen = new Map<number, GPUBuffer>();
  stream.begin(pass);
  for (const layer of geometry.layers) {
    const slot = await stream.ready(layer);
    if (slot.layer !== layer) throw new Error(`slot of layer ${slot.layer} for layer ${layer}`);
    seen.set(layer, copyOut(rig.device, slot, geometry.numExperts));
    stream.done(layer);
  }
  stream.end();
  const bytes = new Map<number, Uint8Array>();
  for (const [layer, buffer] of seen) {
    await pacedWait(buffer.mapAsync(GPUMapMode.READ));
    bytes.set(layer, new Uint8Array(buffer.getMappedRange().slice(0)));
    buffer.destroy();
  }
  return bytes;
}
