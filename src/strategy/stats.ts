/** What a stream of slots counted, and the events it reports. Times are milliseconds of `performance.now()`. */
import type { CopyTime } from './copy-clock.ts';

/** One bar of the timeline. */
export interface StreamEvent {
  /** `receive`: bytes on their way to staging; `wait`: a layer that stood still for them; `slot`: a submit of copies to a slot. */
  readonly track: 'receive' | 'wait' | 'slot';
  readonly name: string;
  readonly startMs: number;
  readonly durationMs: number;
  readonly layer: number;
  /** The stream's own count of passes, from 0. */
  readonly pass: number;
}

export type StreamSink = (event: StreamEvent) => void;

/** Sums over all gathers of one layer since the last `takeStats`. */
export interface LayerStats {
  readonly layer: number;
  /** Gathers that were completed (one a pass). */
  gathers: number;
  /** Time in which at least one read of this layer was under way: segments -> staging. */
  gatherMs: number;
  /** Device time of the copies to the slot (staging and own shard), where it was asked for; else 0. */
  copyMs: number;
  /** Time the host waited in `ready`. */
  waitedMs: number;
  /** The part of it in which the device had nothing left to do: what compute did not hide. */
  exposedMs: number;
  /** Bytes read from peers. */
  hostBytes: number;
  /** Bytes read from the own segment: offload. They do not travel over a link. */
  offloadedBytes: number;
  /** Bytes copied from the own shard on the device. */
  ownBytes: number;
}

export interface StreamStats {
  readonly layers: LayerStats[];
  /** Sums of the layers' fields. */
  readonly total: Omit<LayerStats, 'layer'>;
  /** Each submit of copies on the device's clock, where it was asked for. */
  readonly copies: readonly CopyTime[];
}

const emptyCounts = (): Omit<LayerStats, 'layer'> => ({
  gathers: 0, gatherMs: 0, copyMs: 0, waitedMs: 0, exposedMs: 0, hostBytes: 0, offloadedBytes: 0, ownBytes: 0,
});

/** Counts of one stream, layer by layer. */
export class StreamCounter {
  #layers = new Map<number, LayerStats>();

  of(layer: number): LayerStats {
    let counts = this.#layers.get(layer);
    if (counts === undefined) this.#layers.set(layer, (counts = { layer, ...emptyCounts() }));
    return counts;
  }

  /** Everything counted since the last call. */
  take(copies: readonly CopyTime[] = []): StreamStats {
    const layers = [...this.#layers.values()].sort((a, b) => a.layer - b.layer);
    this.#layers = new Map();
    const total = emptyCounts();
    for (const counts of layers) {
      for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += counts[key];
    }
    return { layers, total, copies };
  }
}

/** 1 - exposed / total gather time (design section 2); 1 when nothing was gathered. */
export function overlapEfficiency({ gatherMs, copyMs, exposedMs }: { gatherMs: number; copyMs: number; exposedMs: number }): number {
  const total = gatherMs + copyMs;
  return total === 0 ? 1 : Math.max(0, 1 - exposedMs / total);
}

/** Length of the union of overlapping intervals, measured as they open and close. */
export class BusyClock {
  #active = 0;
  #since = 0;
  totalMs = 0;
  /** When the first interval opened; null before. */
  startMs: number | null = null;

  enter(): void {
    if (this.#active++ === 0) this.#since = performance.now();
    this.startMs ??= this.#since;
  }

  leave(): void {
    if (--this.#active === 0) this.totalMs += performance.now() - this.#since;
  }
}
