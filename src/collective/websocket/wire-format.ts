/** RFC 6455 frames, as far as they are needed here: whole messages, no extensions. */
import { randomBytes } from 'node:crypto';

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
/** Of a frame's head, unmasked. */
export const MAX_HEAD_BYTES = 10;

const FIN = 0x80;
const MASKED = 0x80;

/** Writes the head of an unmasked frame. @returns its length */
export function writeHead(opcode: number, payloadBytes: number, into: Buffer, mask = 0): number {
  into[0] = FIN | opcode;
  if (payloadBytes < 126) {
    into[1] = mask | payloadBytes;
    return 2;
  }
  if (payloadBytes < 1 << 16) {
    into[1] = mask | 126;
    into.writeUInt16BE(payloadBytes, 2);
    return 4;
  }
  into[1] = mask | 127;
  into.writeUInt32BE(Math.floor(payloadBytes / 2 ** 32), 2);
  into.writeUInt32BE(payloadBytes % 2 ** 32, 6);
  return MAX_HEAD_BYTES;
}

/** A whole frame from a client, masked as the protocol demands. For small payloads. */
export function maskedFrame(opcode: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(MAX_HEAD_BYTES + 4 + payload.length);
  const head = writeHead(opcode, payload.length, frame, MASKED);
  const mask = randomBytes(4);
  frame.set(mask, head);
  for (let i = 0; i < payload.length; i++) frame[head + 4 + i] = (payload[i] as number) ^ (mask[i & 3] as number);
  return frame.subarray(0, head + 4 + payload.length);
}

/** The payload of a close frame. */
export function closePayload(code: number, reason: string): Buffer {
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
  payload.writeUInt16BE(code, 0);
  payload.write(reason, 2);
  return payload;
}
