/**
 * Cuts what a server sends into frames. Payloads land where they stay until they are used: the reader says where the next bytes should go
 * ({@link FrameReader.space}), so that a socket that can reads them there without a copy.
 */
import { crc32 } from 'node:zlib';
import type { Chunk, ChunkPool } from './chunk-pool.ts';
import { CLOSE, LinkError, type LinkEnd } from './close.ts';
import { MAX_CONTROL_BYTES } from './control.ts';
import { HEADER_BYTES, MAX_PAYLOAD_BYTES, decodeHeader, type FrameHeader } from './frame.ts';
import { MAX_HEAD_BYTES, OPCODE } from './wire-format.ts';

export interface FrameHandlers {
  /** Called before the payload is read. @throws LinkError when no such frame is due */
  expect(header: FrameHeader): void;
  /** The chunk is the handler's to release. */
  frame(header: FrameHeader, payload: Chunk): void;
  text(text: string): void;
  ping(payload: Buffer): void;
  close(end: LinkEnd): void;
}

/** Heads are read into here, with what follows them. */
const SCRATCH_BYTES = 4 << 10;
const MAX_SERVICE_BYTES = 125;

export class FrameReader {
  readonly #scratch = Buffer.allocUnsafe(SCRATCH_BYTES);
  readonly #head = Buffer.allocUnsafe(MAX_HEAD_BYTES + HEADER_BYTES);
  #headBytes = 0;
  #needBytes = 2;
  #opcode = 0;
  /** Where WebSocket's head ends and ours begins; 0 while that is not known. */
  #headEnd = 0;
  #header: FrameHeader | null = null;
  #payload: Chunk | null = null;
  #filledBytes = 0;
  #sequence = 0;
  #ended = false;

  constructor(private readonly pool: ChunkPool, private readonly handlers: FrameHandlers) {}

  /** Where the next bytes should be read to. */
  space(): Buffer {
    return this.#payload === null ? this.#scratch : this.#payload.bytes.subarray(this.#filledBytes);
  }

  /** So many bytes have been read into the {@link FrameReader.space} that was last asked for. @throws LinkError */
  filled(bytes: number): void {
    if (this.#payload === null) return this.feed(this.#scratch.subarray(0, bytes));
    this.#filledBytes += bytes;
    if (this.#filledBytes === this.#payload.bytes.length) this.#complete(this.#payload);
  }

  /** Bytes that were read elsewhere. @throws LinkError when they are not what may come */
  feed(data: Uint8Array): void {
    for (let at = 0; at < data.length && !this.#ended; ) {
      if (this.#payload === null) {
        const end = Math.min(data.length, at + this.#needBytes - this.#headBytes);
        for (; at < end; at++) this.#head[this.#headBytes++] = data[at] as number;
        if (this.#headBytes === this.#needBytes) this.#readHead();
      } else {
        const part = data.subarray(at, at + this.#payload.bytes.length - this.#filledBytes);
        this.#payload.bytes.set(part, this.#filledBytes);
        at += part.length;
        this.filled(part.length);
      }
    }
  }

  /** What comes from now on is thrown away. */
  end(): void {
    this.#ended = true;
    this.#payload?.discard(); // the socket may be reading into it
    this.#payload = null;
  }

  /** The head is longer than its first two bytes: called again when all of it is there. */
  #readHead(): void {
    const head = this.#head;
    const [first, second] = [head[0] as number, head[1] as number];
    const [opcode, short] = [(this.#opcode = first & 0x0f), second & 0x7f];
    if (this.#headEnd === 0) {
      if ((first & 0x70) !== 0) throw new LinkError(CLOSE.protocol, 'reserved bits are set');
      if ((first & 0x80) === 0 || opcode === OPCODE.continuation) throw new LinkError(CLOSE.protocol, 'messages must not be fragmented');
      if ((second & 0x80) !== 0) throw new LinkError(CLOSE.protocol, 'frames of a server must not be masked');
      this.#headEnd = short < 126 ? 2 : short === 126 ? 4 : MAX_HEAD_BYTES;
      this.#needBytes = this.#headEnd + (opcode === OPCODE.binary ? HEADER_BYTES : 0);
      if (this.#headBytes < this.#needBytes) return;
    }
    const bytes = short < 126 ? short : short === 126 ? head.readUInt16BE(2) : head.readUInt32BE(2) * 2 ** 32 + head.readUInt32BE(6);
    this.#checkLength(opcode, bytes);
    if (opcode === OPCODE.binary) {
      this.#header = decodeHeader(head.subarray(this.#headEnd), bytes, this.#sequence++);
      this.handlers.expect(this.#header);
    }
    this.#begin(opcode === OPCODE.binary ? bytes - HEADER_BYTES : bytes);
  }

  #checkLength(opcode: number, bytes: number): void {
    switch (opcode) {
      case OPCODE.binary:
        if (bytes < HEADER_BYTES) throw new LinkError(CLOSE.badFrame, `frame: ${bytes} bytes; expected a header of ${HEADER_BYTES}`);
        if (bytes > HEADER_BYTES + MAX_PAYLOAD_BYTES) throw new LinkError(CLOSE.tooBig, `frame: ${bytes} bytes; expected at most ${HEADER_BYTES + MAX_PAYLOAD_BYTES}`);
        return;
      case OPCODE.text:
        if (bytes > MAX_CONTROL_BYTES) throw new LinkError(CLOSE.tooBig, `control message: ${bytes} bytes; expected at most ${MAX_CONTROL_BYTES}`);
        return;
      case OPCODE.close: case OPCODE.ping: case OPCODE.pong:
        if (bytes > MAX_SERVICE_BYTES) throw new LinkError(CLOSE.protocol, `a service frame of ${bytes} bytes; expected at most ${MAX_SERVICE_BYTES}`);
        return;
      default:
        throw new LinkError(CLOSE.protocol, `opcode ${opcode} is not known`);
    }
  }

  #begin(bytes: number): void {
    this.#headBytes = this.#headEnd = this.#filledBytes = 0;
    this.#needBytes = 2;
    const payload = (this.#payload = this.pool.take(bytes));
    if (bytes === 0) this.#complete(payload);
  }

  #complete(payload: Chunk): void {
    this.#payload = null;
    const header = this.#header;
    this.#header = null;
    if (header === null) return this.#service(payload);
    const crc = crc32(payload.bytes);
    if (crc !== header.crc) {
      payload.release();
      throw new LinkError(CLOSE.badFrame, `frame: CRC-32 of the payload is ${hex(crc)}; expected ${hex(header.crc)}`);
    }
    this.handlers.frame(header, payload);
  }

  #service({ bytes, release }: Chunk): void {
    release(); // small: the bytes stay as they are
    if (this.#opcode === OPCODE.text) this.handlers.text(bytes.toString('utf8'));
    else if (this.#opcode === OPCODE.ping) this.handlers.ping(bytes);
    else if (this.#opcode === OPCODE.close) {
      this.#ended = true;
      this.handlers.close({ code: bytes.length < 2 ? 1005 : bytes.readUInt16BE(0), reason: bytes.toString('utf8', 2) });
    }
  }
}

const hex = (crc: number): string => crc.toString(16).padStart(8, '0');
