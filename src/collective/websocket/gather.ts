/** One layer's way round the ring, as one rank sees it: what has come, who wants to read it, what must be handed on. */
import type { Chunk } from './chunk-pool.ts';

export interface Arrived {
  readonly origin: number;
  readonly offsetBytes: number;
  readonly crc: number;
  readonly chunk: Chunk;
  /** When the link has carried it, on the clock of the port. */
  readonly hereMs: number;
}

interface Read {
  readonly start: number;
  readonly end: number;
  readonly into: Uint8Array;
  leftBytes: number;
  /** When the link has carried the last of it. */
  hereMs: number;
  resolve(hereMs: number): void;
  reject(error: Error): void;
}

/** The shard of one origin: where reads and arrivals meet. */
class Lane {
  /** Arrived, and not read to the end. */
  readonly #kept: (Arrived & { leftBytes: number })[] = [];
  readonly #reads: Read[] = [];
  /** Not read yet. */
  leftBytes: number;

  constructor(totalBytes: number) {
    this.leftBytes = totalBytes;
  }

  arrive(arrived: Arrived): void {
    const kept = { ...arrived, leftBytes: arrived.chunk.bytes.length };
    this.#kept.push(kept);
    for (const read of this.#reads) this.#copy(kept, read);
    this.#tidy();
  }

  /** Resolves with the time at which the link has carried all of it. */
  read(start: number, into: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      const read: Read = { start, end: start + into.length, into, leftBytes: into.length, hereMs: -Infinity, resolve, reject };
      this.#reads.push(read);
      for (const kept of this.#kept) this.#copy(kept, read);
      this.#tidy();
    });
  }

  #copy(kept: Arrived & { leftBytes: number }, read: Read): void {
    const { offsetBytes, chunk: { bytes } } = kept;
    const [from, to] = [Math.max(offsetBytes, read.start), Math.min(offsetBytes + bytes.length, read.end)];
    if (from >= to) return;
    read.into.set(bytes.subarray(from - offsetBytes, to - offsetBytes), from - read.start);
    kept.leftBytes -= to - from;
    read.leftBytes -= to - from;
    this.leftBytes -= to - from;
    read.hereMs = Math.max(read.hereMs, kept.hereMs);
  }

  #tidy(): void {
    for (let i = this.#kept.length - 1; i >= 0; i--) {
      const kept = this.#kept[i] as Arrived & { leftBytes: number };
      if (kept.leftBytes > 0) continue;
      this.#kept.splice(i, 1);
      kept.chunk.release();
    }
    for (let i = this.#reads.length - 1; i >= 0; i--) {
      const read = this.#reads[i] as Read;
      if (read.leftBytes > 0) continue;
      this.#reads.splice(i, 1);
      read.resolve(read.hereMs);
    }
  }

  fail(error: Error): void {
    for (const { chunk } of this.#kept.splice(0)) chunk.release();
    for (const read of this.#reads.splice(0)) read.reject(error);
  }
}

export class Gather {
  readonly #lanes: Map<number, Lane>;
  /** Arrived, and not handed on. */
  readonly #toForward: Arrived[] = [];
  #awaitForward: (() => void) | null = null;
  /** Bytes to hand on that were not taken, and that were not handed on. */
  #leftToTake: number;
  #leftToForward: number;
  #dropping = false;
  /** The shards that have not arrived whole, in the order of the ring. */
  readonly #due: readonly { readonly origin: number; readonly totalBytes: number; readonly forward: boolean }[];
  #dueIndex = 0;
  #dueOffset = 0;
  /** Whether the predecessor was told. */
  wanted = false;
  #failed = false;

  /** @param due shards of the other ranks, in the order in which they come; each but the last is handed on */
  constructor(readonly index: number, readonly layer: number, due: readonly { origin: number; totalBytes: number }[]) {
    this.#due = due.map((shard, i) => ({ ...shard, forward: i < due.length - 1 }));
    this.#lanes = new Map(due.map(({ origin, totalBytes }) => [origin, new Lane(totalBytes)]));
    this.#leftToTake = this.#leftToForward = this.#due.reduce((sum, { totalBytes, forward }) => sum + (forward ? totalBytes : 0), 0);
  }

  /** All has come, was read, and was handed on. */
  get finished(): boolean {
    if (this.#dueIndex < this.#due.length || this.#leftToForward > 0) return false;
    for (const lane of this.#lanes.values()) if (lane.leftBytes > 0) return false;
    return true;
  }

  /** Where the next payload must belong; null when all has come. */
  get next(): { readonly origin: number; readonly totalBytes: number; readonly offsetBytes: number } | null {
    const shard = this.#due[this.#dueIndex];
    return shard === undefined ? null : { ...shard, offsetBytes: this.#dueOffset };
  }

  /** The payload that {@link Gather.next} named. */
  arrive(arrived: Arrived): void {
    const { chunk, origin } = arrived;
    const { totalBytes, forward } = this.#due[this.#dueIndex] as { totalBytes: number; forward: boolean };
    this.#dueOffset += chunk.bytes.length;
    if (this.#dueOffset === totalBytes) {
      this.#dueIndex++;
      this.#dueOffset = 0;
    }
    if (this.#failed) return chunk.release();
    if (forward && !this.#dropping) {
      chunk.hold();
      this.#toForward.push(arrived);
      this.#awaitForward?.();
      this.#awaitForward = null;
    }
    (this.#lanes.get(origin) as Lane).arrive(arrived);
  }

  read(origin: number, start: number, into: Uint8Array): Promise<number> {
    return (this.#lanes.get(origin) as Lane).read(start, into);
  }

  /** The next payload to hand on, to be released by the caller; null when there are no more. */
  async takeForward(): Promise<Arrived | null> {
    while (this.#toForward.length === 0 && this.#leftToTake > 0) await new Promise<void>((resolve) => (this.#awaitForward = resolve));
    const arrived = this.#toForward.shift() ?? null;
    if (arrived !== null) this.#leftToTake -= arrived.chunk.bytes.length;
    return arrived;
  }

  /** So many bytes were handed on. */
  forwarded(bytes: number): void {
    if (!this.#dropping) this.#leftToForward -= bytes;
  }

  /** Nobody wants to be handed anything any more. */
  dropForward(): void {
    this.#dropping = true;
    this.#leftToTake = this.#leftToForward = 0;
    for (const { chunk } of this.#toForward.splice(0)) chunk.release();
    this.#awaitForward?.();
  }

  fail(error: Error): void {
    this.#failed = true;
    this.dropForward();
    for (const lane of this.#lanes.values()) lane.fail(error);
  }
}
