/**
 * The file through which payloads go from one rank to one other: the sender writes them into regions, the receiver reads them straight into
 * its own memory and says that the region is free again. Both copies run on libuv's threads.
 */
import { readSync, writeSync } from 'node:fs';
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { AsyncepError, SegmentError } from '../errors.ts';
import { RegionAllocator } from './region-allocator.ts';
import { forgetSegment, guardSegment } from './segment-files.ts';

/** Up to here a copy on this thread is over sooner than the event loop comes round for a threaded one. */
const SMALL_COPY_BYTES = 128 << 10;
/** What one outbox may hold. */
export const OUTBOX_LIMIT_BYTES = 64 << 20;

export class Outbox {
  readonly #regions = new RegionAllocator(OUTBOX_LIMIT_BYTES);
  readonly #waiting: { bytes: number; resolve: (region: number) => void; reject: (error: Error) => void }[] = [];
  #failure: Error | null = null;

  private constructor(readonly path: string, private readonly file: FileHandle) {}

  static async create(path: string): Promise<Outbox> {
    guardSegment(path);
    return new Outbox(path, await open(path, 'wx', 0o600));
  }

  /** The receiver has it open: from now on no name is needed, and nothing is left behind however the processes end. */
  async unlink(): Promise<void> {
    await unlink(this.path).catch(() => undefined);
    forgetSegment(this.path);
  }

  /** A region of at least `bytes`, as soon as there is one. */
  take(bytes: number): Promise<number> | number {
    if (this.#failure !== null) throw this.#failure;
    const region = this.#waiting.length === 0 ? this.#regions.take(bytes) : null;
    if (region !== null) return region;
    return new Promise((resolve, reject) => void this.#waiting.push({ bytes, resolve, reject }));
  }

  /** @returns false when the receiver frees what it never got */
  free(region: number): boolean {
    if (!this.#regions.free(region)) return false;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const start = this.#regions.take(next.bytes);
      if (start === null) break;
      this.#waiting.shift();
      next.resolve(start);
    }
    return true;
  }

  async write(bytes: Uint8Array, region: number): Promise<void> {
    try {
      let done = bytes.length <= SMALL_COPY_BYTES ? writeSync(this.file.fd, bytes, 0, bytes.length, region) : 0;
      while (done < bytes.length) done += (await this.file.write(bytes, done, bytes.length - done, region + done)).bytesWritten;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw this.#failure ?? error;
      throw new SegmentError(this.path, 'write', 'no space left for messages between ranks (enlarge it, or set ASYNCEP_SEGMENT_DIR to a folder with room)');
    }
  }

  /** Ends all waits for a region. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  async close(): Promise<void> {
    this.fail(new AsyncepError('closed'));
    await this.unlink();
    await this.file.close().catch(() => undefined);
  }
}

/** The receiver's view of a peer's outbox. */
export class PeerOutbox {
  private constructor(private readonly path: string, private readonly file: FileHandle) {}

  /** @throws SegmentError when it is not there */
  static async open(path: string): Promise<PeerOutbox> {
    const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
      throw new SegmentError(path, 'open', error.code === 'ENOENT' ? 'no such file (did its owner end?)' : error.message);
    });
    return new PeerOutbox(path, file);
  }

  /** Fills `into` with what stands at `region`. */
  read(into: Uint8Array, region: number): Promise<void> | void {
    if (into.length > SMALL_COPY_BYTES) return this.#readThreaded(into, region);
    if (readSync(this.file.fd, into, 0, into.length, region) !== into.length) throw this.#endsEarly();
  }

  async #readThreaded(into: Uint8Array, region: number): Promise<void> {
    for (let done = 0; done < into.length;) {
      const { bytesRead } = await this.file.read(into, done, into.length - done, region + done);
      if (bytesRead === 0) throw this.#endsEarly();
      done += bytesRead;
    }
  }

  #endsEarly(): SegmentError {
    return new SegmentError(this.path, 'read', 'the file ends before the message');
  }

  close(): Promise<void> {
    return this.file.close().catch(() => undefined);
  }
}
