/**
 * The header that stands before the payload in every binary frame.
 *
 *     0    u8   kind: 1 weights, 2 message
 *     1    u8   origin: the rank whose bytes they are
 *     2    u16  sequence: counts the binary frames of a connection, modulo 2^16
 *     4    u32  pass: of weights the number of the gather, of a message its tag's pass
 *     8    u32  layer: of weights the layer, of a message its tag's step
 *     12   u32  length of the payload, at most 1 MiB
 *     16   u48  offset of the payload in the shard or message
 *     22   u48  bytes of the whole shard or message
 *     28   u32  CRC-32 of the payload
 *
 * Numbers are little endian.
 */
import { CLOSE, LinkError } from './close.ts';

export const HEADER_BYTES = 32;
export const MAX_PAYLOAD_BYTES = 1 << 20;
/** Of header fields of 48 bits. */
export const MAX_TOTAL_BYTES = 2 ** 48 - 1;

export const KIND = { weights: 1, message: 2 } as const;
export type FrameKind = keyof typeof KIND;
const KINDS = Object.keys(KIND) as FrameKind[];

export interface FrameHeader {
  readonly kind: FrameKind;
  readonly origin: number;
  readonly pass: number;
  readonly layer: number;
  readonly lengthBytes: number;
  readonly offsetBytes: number;
  readonly totalBytes: number;
  readonly crc: number;
}

/** Writes the header of the frame number `sequence` at `at`. */
export function encodeHeader(header: FrameHeader, sequence: number, into: Buffer, at = 0): void {
  into[at] = KIND[header.kind];
  into[at + 1] = header.origin;
  into.writeUInt16LE(sequence & 0xffff, at + 2);
  into.writeUInt32LE(header.pass, at + 4);
  into.writeUInt32LE(header.layer, at + 8);
  into.writeUInt32LE(header.lengthBytes, at + 12);
  into.writeUIntLE(header.offsetBytes, at + 16, 6);
  into.writeUIntLE(header.totalBytes, at + 22, 6);
  into.writeUInt32LE(header.crc, at + 28);
}

/**
 * Reads the header at the beginning of `bytes` and checks it against itself.
 * @param frameBytes of header and payload, as the WebSocket frame says
 * @param sequence that the frame must have
 * @throws LinkError naming the field
 */
export function decodeHeader(bytes: Buffer, frameBytes: number, sequence: number): FrameHeader {
  const kind = KINDS.find((name) => KIND[name] === bytes[0]);
  if (kind === undefined) throw bad(`kind ${bytes[0]}; expected 1 (weights) or 2 (message)`);
  const found = bytes.readUInt16LE(2);
  if (found !== (sequence & 0xffff)) throw bad(`sequence ${found}; expected ${sequence & 0xffff}`);
  const header: FrameHeader = {
    kind,
    origin: bytes[1] as number,
    pass: bytes.readUInt32LE(4),
    layer: bytes.readUInt32LE(8),
    lengthBytes: bytes.readUInt32LE(12),
    offsetBytes: bytes.readUIntLE(16, 6),
    totalBytes: bytes.readUIntLE(22, 6),
    crc: bytes.readUInt32LE(28),
  };
  checkExtent(header, frameBytes);
  return header;
}

function checkExtent({ lengthBytes, offsetBytes, totalBytes }: FrameHeader, frameBytes: number): void {
  if (lengthBytes !== frameBytes - HEADER_BYTES) throw bad(`length ${lengthBytes}; expected ${frameBytes - HEADER_BYTES}`);
  if (lengthBytes > MAX_PAYLOAD_BYTES) throw bad(`length ${lengthBytes}; expected at most ${MAX_PAYLOAD_BYTES}`);
  if (lengthBytes === 0 && totalBytes > 0) throw bad(`length 0; expected a part of ${totalBytes}`);
  if (offsetBytes + lengthBytes > totalBytes) throw bad(`offset ${offsetBytes} and length ${lengthBytes} end after ${totalBytes}`);
}

const bad = (problem: string): LinkError => new LinkError(CLOSE.badFrame, `frame: ${problem}`);
