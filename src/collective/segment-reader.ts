/** Reads a segment: checks all that can be checked before reading, then moves experts straight into the caller's memory. */
import { open, type FileHandle } from 'node:fs/promises';
import { readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { SegmentError } from '../errors.ts';
import { FIXED_BYTES, checkHeader, decodeFixed, decodeHeader, expertOffset, segmentBytes, type SegmentDescription } from './segment-format.ts';
import type { ShardGeometry, ShardReader } from './transport.ts';

/** One read: bigger ones leave libuv's threads idle at the tail. */
export const READ_CHUNK_BYTES = 1 << 20;
/** More than libuv has threads (four), so that a thread finds its next read without waiting for a turn of the event loop: an eighth faster on two busy cores. */
const READS_IN_FLIGHT = 8;
/** Below this a read on this thread is over sooner than the event loop comes round for a threaded one. */
const SMALL_READ_BYTES = 128 << 10;

/**
 * Opens and checks the segment at `path`.
 * @throws SegmentError when it is missing, or its magic, version, checksum, model, geometry or size is wrong
 */
export async function openSegment(path: string, geometry: ShardGeometry, rank: number): Promise<ShardReader> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    throw new SegmentError(path, 'open', error.code === 'ENOENT' ? 'no such file (did its owner end?)' : error.message);
  });
  try {
    const description = await readDescription(file, path);
    checkHeader(path, description.header, geometry, rank);
    const { size } = await file.stat();
    const expected = segmentBytes(description.header);
    if (size !== expected) throw new SegmentError(path, 'size', `is ${size} bytes; expected ${expected}`);
    return new SegmentReader(path, file, description);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function readDescription(file: FileHandle, path: string): Promise<SegmentDescription> {
  const fixed = await readUpTo(file, 0, FIXED_BYTES);
  const jsonBytes = decodeFixed(path, fixed);
  const json = await readUpTo(file, FIXED_BYTES, jsonBytes);
  const header = decodeHeader(path, json);
  const experts = header.layers.length * header.count;
  const table = await readUpTo(file, FIXED_BYTES + jsonBytes, 4 * experts);
  if (table.length < 4 * experts || crc32(table, crc32(json)) !== fixed.readUInt32LE(16)) {
    throw new SegmentError(path, 'header', 'checksum does not match');
  }
  return { header, checksums: Uint32Array.from({ length: experts }, (_, index) => table.readUInt32LE(4 * index)) };
}

async function readUpTo(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}

class SegmentReader implements ShardReader {
  readonly rank: number;
  readonly range;
  readonly #layerIndex: Map<number, number>;
  readonly #verified: Uint8Array;

  constructor(
    private readonly path: string,
    private readonly file: FileHandle,
    private readonly description: SegmentDescription,
  ) {
    const { header } = description;
    this.rank = header.rank;
    this.range = { first: header.first, count: header.count };
    this.#layerIndex = new Map(header.layers.map((layer, index) => [layer, index]));
    this.#verified = new Uint8Array(description.checksums.length);
  }

  async read(layer: number, first: number, count: number, into: Uint8Array): Promise<void> {
    const { header } = this.description;
    const layerIndex = this.#layerIndex.get(layer);
    if (layerIndex === undefined || first < header.first || first + count > header.first + header.count) {
      throw new SegmentError(this.path, `layer ${layer}, experts ${first} to ${first + count - 1}`, 'not in this segment');
    }
    if (into.length !== count * header.expertBytes) {
      throw new RangeError(`${count} experts take ${count * header.expertBytes} bytes; the destination has ${into.length}`);
    }
    const base = layerIndex * header.count + first - header.first;
    const known = this.#verified.subarray(base, base + count);
    if (known.every((flag) => flag === 1)) return this.#readRange(expertOffset(header, layerIndex, first), into, layer);
    for (let e = 0; e < count; e++) {
      await this.#readChecked(layer, layerIndex, first + e, into.subarray(e * header.expertBytes, (e + 1) * header.expertBytes));
      known[e] = 1;
    }
  }

  /** Through ordinary memory: a mapped range may be write-combined, and reading that back would be very slow. */
  async #readChecked(layer: number, layerIndex: number, expert: number, into: Uint8Array): Promise<void> {
    const { header, checksums } = this.description;
    const bytes = new Uint8Array(header.expertBytes);
    await this.#readRange(expertOffset(header, layerIndex, expert), bytes, layer);
    const expected = checksums[layerIndex * header.count + expert - header.first];
    if (crc32(bytes) !== expected) {
      throw new SegmentError(this.path, `layer ${layer}, expert ${expert}`, 'checksum does not match: the bytes were damaged after they were written');
    }
    into.set(bytes);
  }

  async #readRange(position: number, into: Uint8Array, layer: number): Promise<void> {
    if (into.length <= SMALL_READ_BYTES) {
      if (readSync(this.file.fd, into, 0, into.length, position) !== into.length) throw this.#truncated(layer);
      return;
    }
    let next = 0;
    const reader = async (): Promise<void> => {
      while (next < into.length) {
        const start = next;
        next += READ_CHUNK_BYTES;
        await this.#readChunk(position + start, into.subarray(start, start + READ_CHUNK_BYTES), layer);
      }
    };
    // All of them, also after a failure: nothing may write to `into` any more once this function is over.
    const outcomes = await Promise.allSettled(Array.from({ length: READS_IN_FLIGHT }, reader));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  async #readChunk(position: number, into: Uint8Array, layer: number): Promise<void> {
    let done = 0;
    while (done < into.length) {
      const { bytesRead } = await this.file.read(into, done, into.length - done, position + done);
      if (bytesRead === 0) throw this.#truncated(layer);
      done += bytesRead;
    }
  }

  #truncated(layer: number): SegmentError {
    return new SegmentError(this.path, `layer ${layer}`, 'the file ends early: it was cut after it was opened');
  }

  close(): Promise<void> {
    return this.file.close();
  }
}
