/** `resident`: every expert of every layer on the device; nothing moves after the start. */
import { destroyIn, type CountedStream, type StreamContext } from './context.ts';
import { loadLayers } from './resident-layers.ts';
import type { Slot } from '../engine/slot-stream.ts';
import { StreamCounter } from './stats.ts';

/** Gathers all layers from all ranks once. @throws SegmentError when a shard is damaged */
export async function createResident(context: StreamContext): Promise<CountedStream> {
  const slots = await loadLayers(context, context.geometry.layers, (layer) => `all experts/layer ${layer} `);
  const counter = new StreamCounter();
  return {
    begin: () => undefined,
    ready: async (layer) => {
      const slot = slots.get(layer);
      if (slot === undefined) throw new RangeError(`layer ${layer} is not a MoE layer`);
      return slot;
    },
    done: () => undefined,
    end: () => undefined,
    takeStats: () => counter.take(),
    close: async () => destroySlots(context, slots.values()),
  };
}

export function destroySlots(context: StreamContext, slots: Iterable<Slot>): void {
  for (const slot of slots) for (const bank of slot.banks) destroyIn(context, bank);
}
