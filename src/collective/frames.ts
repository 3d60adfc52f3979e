/**
 * What two ranks of one machine say to each other beside the payloads' file. A frame is
 *
 *     0   u32  magic "aepM"
 *     4   u32  kind
 *     8   u32  bytes of the body
 *     12  ...  body
 *
 * Numbers are little endian; file positions, lengths of messages and times are f64.
 */
import type { Tag } from './messenger.ts';

/** hello and welcome: JSON. free: region. bye: the reason as text, empty for none. */
export const KIND = { hello: 1, welcome: 2, ready: 3, message: 4, piece: 5, free: 6, alive: 7, bye: 8 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

export const PROTOCOL_VERSION = 1;
const MAGIC = 0x4d706561;
const HEADER_BYTES = 12;
const LAST_KIND = Math.max(...Object.values(KIND));
/** No frame is near this; a larger length means damage. */
const MAX_BODY_BYTES = 64 << 10;
/** Payloads up to here travel in their frame. */
export const INLINE_BYTES = 8 << 10;

/** Something that is not of this protocol came over a link. The text is half a sentence. */
export class FrameError extends Error {
  override name = 'FrameError';
}

export function encodeFrame(kind: Kind, body: Uint8Array = new Uint8Array(0)): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  frame.writeUInt32LE(MAGIC, 0);
  frame.writeUInt32LE(kind, 4);
  frame.writeUInt32LE(body.length, 8);
  frame.set(body, HEADER_BYTES);
  return frame;
}

export interface MessageFrame {
  /** Counts the messages of a sender to one peer. */
  readonly id: number;
  readonly tag: Tag;
  readonly bytes: number;
}

export function encodeMessage({ id, tag: { pass, step }, bytes }: MessageFrame): Buffer {
  const body = Buffer.allocUnsafe(20);
  body.writeUInt32LE(id, 0);
  body.writeUInt32LE(pass, 4);
  body.writeUInt32LE(step, 8);
  body.writeDoubleLE(bytes, 12);
  return encodeFrame(KIND.message, body);
}

/** @throws FrameError */
export function decodeMessage(body: Buffer): MessageFrame {
  if (body.length !== 20) throw new FrameError(`sent a message frame of ${body.length} bytes`);
  const bytes = body.readDoubleLE(12);
  if (!Number.isSafeInteger(bytes) || bytes < 0) throw new FrameError(`announced a message of ${bytes} bytes`);
  return { id: body.readUInt32LE(0), tag: { pass: body.readUInt32LE(4), step: body.readUInt32LE(8) }, bytes };
}

export interface PieceFrame {
  /** The message it belongs to. */
  readonly id: number;
  readonly offset: number;
  readonly bytes: number;
  /** When it left the sender, on the clock of its port; NaN without a port. */
  readonly departedMs: number;
  /** Where in the sender's outbox the payload stands, or the payload itself. */
  readonly at: number | Uint8Array;
}

const PIECE_BYTES = 32;
const INLINE = -1;

export function encodePiece({ id, offset, bytes, departedMs, at }: PieceFrame): Buffer {
  const inline = typeof at === 'number' ? undefined : at;
  const body = Buffer.allocUnsafe(PIECE_BYTES + (inline?.length ?? 0));
  body.writeUInt32LE(id, 0);
  body.writeUInt32LE(bytes, 4);
  body.writeDoubleLE(offset, 8);
  body.writeDoubleLE(departedMs, 16);
  body.writeDoubleLE(typeof at === 'number' ? at : INLINE, 24);
  if (inline !== undefined) body.set(inline, PIECE_BYTES);
  return encodeFrame(KIND.piece, body);
}

/** @throws FrameError */
export function decodePiece(body: Buffer, limitBytes: number): PieceFrame {
  if (body.length < PIECE_BYTES) throw new FrameError(`sent a piece frame of ${body.length} bytes`);
  const [id, bytes] = [body.readUInt32LE(0), body.readUInt32LE(4)];
  const [offset, departedMs, region] = [body.readDoubleLE(8), body.readDoubleLE(16), body.readDoubleLE(24)];
  const inlineBytes = body.length - PIECE_BYTES;
  const fits = region === INLINE ? inlineBytes === bytes : inlineBytes === 0 && region >= 0 && Number.isSafeInteger(region) && region + bytes <= limitBytes;
  if (!fits || !Number.isSafeInteger(offset) || offset < 0) throw new FrameError(`sent a piece of ${bytes} bytes at ${offset} out of ${region}`);
  return { id, offset, bytes, departedMs, at: region === INLINE ? body.subarray(PIECE_BYTES) : region };
}

export function encodeFree(region: number): Buffer {
  const body = Buffer.allocUnsafe(8);
  body.writeDoubleLE(region);
  return encodeFrame(KIND.free, body);
}

/** @throws FrameError */
export function decodeFree(body: Buffer): number {
  if (body.length !== 8) throw new FrameError(`freed a region in ${body.length} bytes`);
  return body.readDoubleLE();
}

/** Cuts a stream of bytes into frames. */
export class FrameParser {
  #rest: Buffer = Buffer.alloc(0);

  /**
   * @param onFrame the body is valid during the call only
   * @throws FrameError when the bytes are not of this protocol
   */
  push(data: Buffer, onFrame: (kind: Kind, body: Buffer) => void): void {
    let bytes = this.#rest.length === 0 ? data : Buffer.concat([this.#rest, data]);
    while (bytes.length >= HEADER_BYTES) {
      const [magic, kind, length] = [bytes.readUInt32LE(0), bytes.readUInt32LE(4), bytes.readUInt32LE(8)];
      if (magic !== MAGIC || kind < 1 || kind > LAST_KIND || length > MAX_BODY_BYTES) throw new FrameError('sent bytes that are not of this protocol');
      if (bytes.length < HEADER_BYTES + length) break;
      onFrame(kind as Kind, bytes.subarray(HEADER_BYTES, HEADER_BYTES + length));
      bytes = bytes.subarray(HEADER_BYTES + length);
    }
    this.#rest = bytes;
  }
}
