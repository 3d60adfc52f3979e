/** The simplest stream of slots: every expert packed and uploaded by the test itself, no ranks. */
import { expertLayout, packExpert } from '../../src/engine/index.ts';
import type { ModelWeights } from '../../src/model/types.ts';
import type { GpuDevice } from '../../src/runtime/device.ts';
import type { PackedDtype } from '../../src/runtime/layout.ts';
import type { Slot, SlotStream } from '../../src/engine/slot-stream.ts';

export async function localSlots(gpu: GpuDevice, weights: ModelWeights, dtype: PackedDtype, expertsPerBank = 1 << 20): Promise<SlotStream> {
  const { config } = weights;
  const layout = expertLayout(config, dtype);
  const slots = new Map<number, Slot>();
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    if (!config.layerIsMoe[layer]) continue;
    const banks: GPUBuffer[] = [];
    for (let first = 0; first < config.numExperts; first += expertsPerBank) {
      const count = Math.min(expertsPerBank, config.numExperts - first);
      const buffer = gpu.createBuffer('slots', count * layout.expertBytes, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
      for (let i = 0; i < count; i++) {
        const blob = new Uint8Array(layout.expertBytes);
        packExpert(await weights.expert(layer, first + i), layout, blob);
        gpu.upload(buffer, blob, i * layout.expertBytes);
      }
      banks.push(buffer);
    }
    slots.set(layer, { layer, banks, expertsPerBank: Math.min(expertsPerBank, config.numExperts), expertBytes: layout.expertBytes });
  }
  return {
    begin: () => undefined,
    ready: (layer) => Promise.resolve(slots.get(layer) as Slot),
    done: () => undefined,
    end: () => undefined,
    close: () => Promise.resolve(),
  };
}
