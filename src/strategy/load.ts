/** Loads experts onto the device once, at start: the first MoE layer, the own shard, or everything. */
import type { ShardReader } from '../collective/transport.ts';
import { settingsOf, type StreamContext } from './context.ts';
import type { Piece } from './banks.ts';
import { Watch } from './watch.ts';

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

/** Reads all items and copies them to their targets. @throws what a reader throws (SegmentError), and when nothing moves within the deadlines */
export async function loadPieces(context: StreamContext, items: readonly LoadItem[]): Promise<void> {
  if (items.length === 0) return;
  const size = Math.max(...items.map(({ piece }) => piece.bytes));
  const watch = new Watch(context.wait);
  const { deviceDeadlineMs } = settingsOf(context);
  let next = 0;
  const lane = async (): Promise<void> => {
    const staging = context.device.createBuffer({ label: 'loading', size, usage: GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC });
    try {
      for (let item = items[next++]; item !== undefined; item = items[next++]) await loadPiece(context, watch, staging, item);
      await watch.until(context.device.queue.onSubmittedWorkDone(), () => deviceDeadlineMs, () => 'the device did not finish the copies of loading');
    } catch (error) {
      next = items.length; // the other lanes need not go on
      throw error;
    } finally {
      // After a failure someone may still be reading into a mapped range; the process is about to end anyway.
      if (!watch.failed) staging.destroy();
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(LOAD_BUFFERS, items.length) }, lane));
  for (const result of lanes) if (result.status === 'rejected') throw result.reason;
}

async function loadPiece(context: StreamContext, watch: Watch, staging: GPUBuffer, item: LoadItem): Promise<void> {
  const { device } = context;
  const { layer, piece, reader, target, targetOffset } = item;
  const { deadlineMs, deviceDeadlineMs } = settingsOf(context);
  const what = `experts ${piece.first} to ${piece.first + piece.count - 1} of layer ${layer}`;
  await watch.until(staging.mapAsync(GPUMapMode.WRITE), () => deviceDeadlineMs, () => `the device gave no staging memory for ${what}`);
  const bytes = new Uint8Array(staging.getMappedRange(), 0, piece.bytes);
  await watch.until(reader.read(layer, piece.first, piece.count, bytes), () => deadlineMs, () => `${what} did not come from rank ${reader.rank}`);
  staging.unmap();
  const encoder = device.createCommandEncoder({ label: `load layer ${layer}` });
  encoder.copyBufferToBuffer(staging, 0, target, targetOffset, piece.bytes);
  device.queue.submit([encoder.finish()]);
}
