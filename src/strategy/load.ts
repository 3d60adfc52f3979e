/** Loads experts onto the device once, at start: the first MoE layer, the own shard, or everything. */
import type { ShardReader } from '../collective/transport.ts';
import type { StreamContext } from './context.ts';
import type { Piece } from './banks.ts';

/** A piece, who has it, and where it goes. */
export interface LoadItem {
  readonly layer: number;
  readonly piece: Piece;
  readonly reader: ShardReader;
  readonly target: GPUBuffer;
  readonly targetOffset: number;
}

/** Buffers used while loading; destroyed afterwards. */
const LOAD_BUFFERS = 3;

/** Reads all items and copies them to their targets. @throws what a reader throws (SegmentError) */
export async function loadPieces(context: StreamContext, items: readonly LoadItem[]): Promise<void> {
  if (items.length === 0) return;
  const size = Math.max(...items.map(({ piece }) => piece.bytes));
  let next = 0;
  const lane = async (): Promise<void> => {
    const staging = context.device.createBuffer({ label: 'loading', size, usage: GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC });
    try {
      for (let item = items[next++]; item !== undefined; item = items[next++]) await loadPiece(context, staging, item);
      await context.wait(context.device.queue.onSubmittedWorkDone());
    } finally {
      staging.destroy();
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(LOAD_BUFFERS, items.length) }, lane));
  for (const result of lanes) if (result.status === 'rejected') throw result.reason;
}

async function loadPiece({ device, wait }: StreamContext, staging: GPUBuffer, item: LoadItem): Promise<void> {
  const { layer, piece, reader, target, targetOffset } = item;
  await wait(staging.mapAsync(GPUMapMode.WRITE));
  await reader.read(layer, piece.first, piece.count, new Uint8Array(staging.getMappedRange(), 0, piece.bytes));
  staging.unmap();
  const encoder = device.createCommandEncoder({ label: `load layer ${layer}` });
  encoder.copyBufferToBuffer(staging, 0, target, targetOffset, piece.bytes);
  device.queue.submit([encoder.finish()]);
}
