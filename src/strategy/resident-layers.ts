/** Layers whose complete experts stay on the device. */
import type { ShardReader } from '../collective/transport.ts';
import { createBanks, cutPieces } from './banks.ts';
import { planExperts, settingsOf, slotOf, type StreamContext } from './context.ts';
import { loadPieces, type LoadItem } from './load.ts';
import type { Slot } from '../engine/slot-stream.ts';

/** Gathers `layers` from all ranks into buffers labelled `<label(layer)>bank <b>`. */
export async function loadLayers(context: StreamContext, layers: readonly number[], label: (layer: number) => string): Promise<Map<number, Slot>> {
  const { layout, shards } = planExperts(context);
  const { pieceBytes } = settingsOf(context);
  const slots = new Map<number, Slot>();
  const items: LoadItem[] = [];
  for (const layer of layers) {
    const banks = createBanks(context.createBuffer, label(layer), layout);
    slots.set(layer, slotOf(layer, banks, layout));
    for (const [owner, shard] of shards.entries()) {
      for (const piece of cutPieces(shard, layout, pieceBytes)) {
        const reader = context.readers[owner] as ShardReader;
        items.push({ layer, piece, reader, target: banks[piece.bank] as GPUBuffer, targetOffset: piece.bankOffset });
      }
    }
  }
  await loadPieces(context, items);
  return slots;
}
