/** This rank's own shard, cut into payloads: read from the local segment, run of experts by run of experts. */
import { crc32 } from 'node:zlib';
import type { ShardReader } from '../transport.ts';

/** A run holds whole experts, and about so many bytes. */
const RUN_BYTES = 4 << 20;

export interface OwnChunk {
  readonly offsetBytes: number;
  readonly bytes: Uint8Array;
  readonly crc: number;
}

export class OwnChunks {
  /** Runs are read into these in turn: one is read while the other is sent. */
  readonly #buffers: { bytes: Uint8Array; sent: Promise<unknown> }[];
  readonly #runExperts: number;
  /** The first run of the layer that comes next, if it is known. */
  #ahead: { readonly layer: number; readonly run: Promise<Uint8Array> } | null = null;
  /** What was published does not change: CRC-32 by layer and offset. */
  readonly #checksums = new Map<string, number>();

  constructor(private readonly reader: ShardReader, private readonly expertBytes: number, private readonly chunkBytes: number) {
    const { count } = reader.range;
    this.#runExperts = Math.max(1, Math.min(count, Math.floor(RUN_BYTES / expertBytes)));
    this.#buffers = Array.from({ length: 2 }, () => ({ bytes: Buffer.allocUnsafeSlow(this.#runExperts * expertBytes), sent: Promise.resolve() }));
  }

  /**
   * All of one layer. `send` resolves when the next may be sent; what it returns resolves when the bytes may be used again.
   * One layer at a time.
   */
  async forEach(layer: number, send: (chunk: OwnChunk) => Promise<{ done: Promise<unknown> }>): Promise<void> {
    const ahead = this.#ahead?.layer === layer ? this.#ahead.run : null;
    this.#ahead = null;
    const { first, count } = this.reader.range;
    const runs = Array.from({ length: Math.ceil(count / this.#runExperts) }, (_, run) => run * this.#runExperts);
    let next = ahead ?? this.#read(layer, first, runs[0] as number);
    for (const [index, start] of runs.entries()) {
      const bytes = await next;
      const following = runs[index + 1];
      if (following !== undefined) {
        next = this.#read(layer, first, following);
        next.catch(() => undefined); // reported when it is its turn
      }
      await this.#send(layer, start * this.expertBytes, bytes, send);
    }
  }

  /** Begins to read `layer`, which is sent when the one before has been. To be called between two calls of {@link OwnChunks.forEach}. */
  prefetch(layer: number): void {
    if (this.#ahead !== null) return;
    const run = this.#read(layer, this.reader.range.first, 0);
    run.catch(() => undefined); // reported when it is its turn
    this.#ahead = { layer, run };
  }

  async #read(layer: number, first: number, start: number): Promise<Uint8Array> {
    const buffer = this.#buffers[(start / this.#runExperts) % 2] as { bytes: Uint8Array; sent: Promise<unknown> };
    await buffer.sent;
    const count = Math.min(this.#runExperts, this.reader.range.count - start);
    const bytes = buffer.bytes.subarray(0, count * this.expertBytes);
    await this.reader.read(layer, first + start, count, bytes);
    return bytes;
  }

  async #send(layer: number, base: number, run: Uint8Array, send: (chunk: OwnChunk) => Promise<{ done: Promise<unknown> }>): Promise<void> {
    const sent: Promise<unknown>[] = [];
    for (let at = 0; at < run.length; at += this.chunkBytes) {
      const bytes = run.subarray(at, at + this.chunkBytes);
      const key = `${layer}/${base + at}`;
      const crc = this.#checksums.get(key) ?? crc32(bytes);
      this.#checksums.set(key, crc);
      sent.push((await send({ offsetBytes: base + at, bytes, crc })).done);
    }
    const buffer = this.#buffers[(base / this.expertBytes / this.#runExperts) % 2] as { sent: Promise<unknown> };
    buffer.sent = Promise.all(sent);
  }
}
