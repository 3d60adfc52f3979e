/** What every stream is given. */
import type { ShardGeometry, ShardReader } from '../collective/transport.ts';
import { partitionExperts, type ExpertRange } from '../collective/partition.ts';
import { layOutBanks, type BankLayout, type CreateBuffer } from './banks.ts';
import type { Slot, SlotStream } from '../engine/slot-stream.ts';
import type { StreamSink, StreamStats } from './stats.ts';

export interface StreamContext {
  readonly device: GPUDevice;
  readonly createBuffer: CreateBuffer;
  /** Destroys what `createBuffer` made, where that keeps a ledger; `GpuDevice.destroyBuffer` is one. */
  readonly destroyBuffer?: (buffer: GPUBuffer) => void;
  /** Awaits a promise of the device (paces the event loop on software adapters). */
  readonly wait: <T>(promise: Promise<T>) => Promise<T>;
  readonly rank: number;
  readonly geometry: ShardGeometry;
  /** One reader for each rank, this rank's own included, in order. */
  readonly readers: readonly ShardReader[];
  /** Largest buffer a kernel can bind, bytes. */
  readonly bankBytes: number;
  readonly settings?: Partial<StreamSettings>;
  readonly trace?: StreamSink;
}

export interface StreamSettings {
  /** Most bytes that travel in one piece; a piece holds at least one expert. */
  readonly pieceBytes: number;
  /** Most bytes of staging memory; a layer of which less fits is gathered in instalments, and overlaps less. */
  readonly stagingBytes: number;
  /** `asyncep` only: layers that the host's gather runs ahead of compute; 1 is the paper's plain double buffer. */
  readonly depth: number;
  /**
   * Layers that the device holds complete ahead of the one that computes while own experts stay in host memory, see offload.ts;
   * 0: no offload, the own shard lives on the device.
   */
  readonly offloadLayers: number;
  /** A gather in which nothing moved for so long is given up. */
  readonly deadlineMs: number;
  /** The same for a device that is still computing; longer, because a layer of a long batch may take that long. */
  readonly deviceDeadlineMs: number;
  /** Measure the device time of copies with timestamps (needs `timestamp-query`); adds two empty passes to each submit of copies. */
  readonly timeCopies: boolean;
}

export const DEFAULT_SETTINGS: StreamSettings = {
  pieceBytes: 16 << 20,
  stagingBytes: 4 * 2 ** 30,
  depth: 2,
  offloadLayers: 0,
  deadlineMs: 10_000,
  deviceDeadlineMs: 120_000,
  timeCopies: false,
};

export const settingsOf = (context: Pick<StreamContext, 'settings'>): StreamSettings => ({ ...DEFAULT_SETTINGS, ...context.settings });

export const destroyIn = ({ destroyBuffer }: Pick<StreamContext, 'destroyBuffer'>, buffer: GPUBuffer): void =>
  destroyBuffer ? destroyBuffer(buffer) : buffer.destroy();

/** A stream that can be asked what it did. */
export interface CountedStream extends SlotStream {
  /** Counts since the last call. */
  takeStats(): StreamStats;
}

/** Layout and ownership, derived once. */
export interface ExpertPlan {
  readonly layout: BankLayout;
  readonly shards: readonly ExpertRange[];
  /** Resident on every rank; undefined where there is no MoE layer (a pipeline's stage of dense layers). */
  readonly firstLayer: number | undefined;
  /** The MoE layers that travel, in order. */
  readonly streamedLayers: readonly number[];
}

export function planExperts({ geometry, bankBytes }: Pick<StreamContext, 'geometry' | 'bankBytes'>): ExpertPlan {
  const [firstLayer, ...streamedLayers] = geometry.layers;
  return {
    layout: layOutBanks(geometry.numExperts, geometry.expertBytes, bankBytes),
    shards: partitionExperts(geometry.numExperts, geometry.world),
    firstLayer,
    streamedLayers,
  };
}

export const slotOf = (layer: number, banks: readonly GPUBuffer[], { expertsPerBank, expertBytes }: BankLayout): Slot => ({
  layer, banks, expertsPerBank, expertBytes,
});
