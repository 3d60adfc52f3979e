/** This rank's own experts of the streamed layers, kept on the device (unless offloaded) so that its part of every slot is a device copy. */
import type { ExpertRange } from '../collective/partition.ts';
import type { ShardReader } from '../collective/transport.ts';
import { cutPieces, type Piece } from './banks.ts';
import { planExperts, settingsOf, type StreamContext } from './context.ts';
import { loadPieces, type LoadItem } from './load.ts';
import { offloads } from './offload.ts';

/** One buffer, and the part of a slot that it is copied to. */
export interface OwnPart {
  readonly buffer: GPUBuffer;
  readonly piece: Piece;
}

/** Loads the shard; the parts of each streamed layer, cut at bank borders. Labels: `own shard/layer <l> bank <b>`. With offload: nothing. */
export async function loadOwnShard(context: StreamContext): Promise<Map<number, OwnPart[]>> {
  if (offloads(context)) return new Map();
  const { layout, shards, streamedLayers } = planExperts(context);
  const { pieceBytes } = settingsOf(context);
  const own = shards[context.rank] as ExpertRange;
  const reader = context.readers[context.rank] as ShardReader;
  const parts = new Map<number, OwnPart[]>();
  const items: LoadItem[] = [];
  for (const layer of streamedLayers) {
    parts.set(layer, cutPieces(own, layout, Infinity).map((part) => {
      const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
      const buffer = context.createBuffer(`own shard/layer ${layer} bank ${part.bank}`, part.bytes, usage);
      for (const piece of cutPieces(part, layout, pieceBytes)) {
        items.push({ layer, piece, reader, target: buffer, targetOffset: piece.bankOffset - part.bankOffset });
      }
      return { buffer, piece: part };
    }));
  }
  await loadPieces(context, items);
  return parts;
}
