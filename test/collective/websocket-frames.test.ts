import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ChunkPool } from '../../src/collective/websocket/chunk-pool.ts';
import { clipReason, errorOfEnd, faultOfEnd } from '../../src/collective/websocket/close.ts';
import { decodeControl } from '../../src/collective/websocket/control.ts';
import { decodeHeader, encodeHeader, HEADER_BYTES, type FrameHeader } from '../../src/collective/websocket/frame.ts';
import { FrameReader } from '../../src/collective/websocket/frame-reader.ts';
import { maskedFrame, writeHead } from '../../src/collective/websocket/wire-format.ts';
import { RankError } from '../../src/errors.ts';

const header: FrameHeader = {
  kind: 'weights', origin: 3, pass: 0x01020304, layer: 94, lengthBytes: 5, offsetBytes: 0x0102_0304_0506, totalBytes: 0x0102_0304_050b, crc: 0xcafebabe,
};

describe('the header of a frame', () => {
  it('has these 32 bytes', () => {
    const bytes = Buffer.alloc(HEADER_BYTES);
    encodeHeader(header, 0x1_0007, bytes);
    expect(bytes.toString('hex')).toBe('01030700040302015e000000050000000605040302010b0504030201bebafeca');
    expect(decodeHeader(bytes, HEADER_BYTES + 5, 7)).toEqual(header);
  });

  const problem = (change: Partial<FrameHeader>, { frameBytes = HEADER_BYTES + 5, sequence = 0, kind = 1 } = {}): string => {
    const bytes = Buffer.alloc(HEADER_BYTES);
    encodeHeader({ ...header, ...change }, 0, bytes);
    bytes[0] = kind;
    try {
      decodeHeader(bytes, frameBytes, sequence);
      return 'none';
    } catch (error) {
      return (error as Error).message;
    }
  };

  it('is refused when it contradicts itself', () => {
    expect(problem({})).toBe('none');
    expect(problem({}, { kind: 9 })).toBe('frame: kind 9; expected 1 (weights) or 2 (message)');
    expect(problem({}, { sequence: 1 })).toBe('frame: sequence 0; expected 1');
    expect(problem({ lengthBytes: 6 })).toBe('frame: length 6; expected 5');
    expect(problem({ lengthBytes: (1 << 20) + 1 }, { frameBytes: HEADER_BYTES + (1 << 20) + 1 })).toBe('frame: length 1048577; expected at most 1048576');
    expect(problem({ lengthBytes: 0 }, { frameBytes: HEADER_BYTES })).toBe(`frame: length 0; expected a part of ${header.totalBytes}`);
    expect(problem({ totalBytes: 9 })).toBe(`frame: offset ${header.offsetBytes} and length 5 end after 9`);
  });
});

/** A binary frame of a server. */
function serverFrame(payload: Uint8Array, over: Partial<FrameHeader> = {}, sequence = 0): Buffer {
  const head = Buffer.alloc(10 + HEADER_BYTES);
  const start = writeHead(2, HEADER_BYTES + payload.length, head);
  encodeHeader({ ...header, offsetBytes: 0, totalBytes: payload.length, lengthBytes: payload.length, crc: crc32(payload), ...over }, sequence, head, start);
  return Buffer.concat([head.subarray(0, start + HEADER_BYTES), payload]);
}

describe('a reader of frames', () => {
  const read = (bytes: Buffer, step: (left: number) => number, direct: boolean): { frames: string[]; heldBytes: number } => {
    const frames: string[] = [];
    const pool = new ChunkPool();
    const reader = new FrameReader(pool, {
      expect: () => undefined,
      frame: (_, chunk) => {
        frames.push(createHash('sha1').update(chunk.bytes).digest('hex'));
        chunk.release();
      },
      text: (text) => frames.push(text), ping: (payload) => frames.push(`ping ${payload}`), close: ({ code, reason }) => frames.push(`${code} ${reason}`),
    });
    for (let at = 0; at < bytes.length; ) {
      const most = Math.min(bytes.length - at, step(bytes.length - at));
      const n = direct ? Math.min(most, reader.space().length) : most;
      if (direct) {
        reader.space().set(bytes.subarray(at, at + n));
        reader.filled(n);
      } else reader.feed(bytes.subarray(at, at + n));
      at += n;
    }
    return { frames, heldBytes: pool.heldBytes };
  };

  it('gives the same frames however the bytes come', () => {
    const payloads = [0, 1, 90, 94, 125, 70_000, 65_504, 1 << 20].map((bytes, n) => Buffer.alloc(bytes, n + 1));
    const text = Buffer.concat([Buffer.from([0x81, 5]), Buffer.from('hello')]);
    const ping = Buffer.from([0x89, 1, 0x21]);
    const close = Buffer.concat([Buffer.from([0x88, 5, 0x03, 0xe8]), Buffer.from('bye')]);
    const bytes = Buffer.concat([...payloads.flatMap((payload, n) => [serverFrame(payload, {}, n), n % 2 === 0 ? text : ping]), close, text]);
    const expected = [...payloads.flatMap((payload, n) => [createHash('sha1').update(payload).digest('hex'), n % 2 === 0 ? 'hello' : 'ping !']), '1000 bye'];
    let state = 1;
    const random = (): number => 1 + ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8) % 50_000;
    for (const step of [() => Infinity, () => 65_536, random, () => 7]) {
      for (const direct of [false, true]) expect(read(bytes, step, direct)).toEqual({ frames: expected, heldBytes: 0 });
    }
  });

  const problem = (bytes: Buffer): string => {
    try {
      return read(bytes, () => Infinity, false).frames.join();
    } catch (error) {
      const { code, message } = error as { code: number; message: string };
      return `${code} ${message}`;
    }
  };

  it('says what is wrong with a frame', () => {
    const good = serverFrame(Buffer.from('abc'));
    expect(problem(serverFrame(Buffer.from('abc'), { crc: 1 }))).toBe('4000 frame: CRC-32 of the payload is 352441c2; expected 00000001');
    expect(problem(maskedFrame(2, good.subarray(2)))).toBe('1002 frames of a server must not be masked');
    expect(problem(Buffer.from([0x02, 3]))).toBe('1002 messages must not be fragmented');
    expect(problem(Buffer.from([0xc2, 3]))).toBe('1002 reserved bits are set');
    expect(problem(Buffer.from([0x83, 3]))).toBe('1002 opcode 3 is not known');
    expect(problem(Buffer.from([0x82, 31, ...good.subarray(2)]))).toBe('4000 frame: 31 bytes; expected a header of 32');
    expect(problem(Buffer.concat([Buffer.from([0x82, 127, 0, 0, 0, 9, 0, 0, 0, 0]), good]))).toBe('1009 frame: 38654705664 bytes; expected at most 1048608');
    expect(problem(Buffer.from([0x89, 126, 1, 0]))).toBe('1002 a service frame of 256 bytes; expected at most 125');
  });
});

describe('a control message', () => {
  const problem = (text: string): string => {
    try {
      return decodeControl(text).type;
    } catch (error) {
      return (error as Error).message;
    }
  };
  it('is checked before it is looked at', () => {
    expect(problem('{"type":"want","gather":1,"layer":2}')).toBe('want');
    expect(problem('{')).toBe('control message: broken JSON');
    expect(problem('{"type":"drop"}')).toMatch(/^control message: type: /);
    expect(problem('{"type":"want","gather":-1,"layer":2}')).toMatch(/^control message: gather: /);
    expect(problem('{"type":"welcome","more":1}')).toMatch(/^control message: /);
  });
});

describe('the end of a link', () => {
  it('is told in words, and a third rank at fault is named', () => {
    expect(errorOfEnd(2, { code: 1000, reason: '' })).toEqual(new RankError(2, 'it closed its link'));
    expect(errorOfEnd(2, { code: 1006, reason: '' })).toEqual(new RankError(2, 'its link was cut: 1006'));
    expect(errorOfEnd(2, { code: 4004, reason: 'its link has been silent for 10.0 s' })).toEqual(new RankError(2, 'its link has been silent for 10.0 s'));
    expect(errorOfEnd(2, { code: 4003, reason: 'rank 3: hung' })).toEqual(new RankError(2, 'it gave up: rank 3: hung'));
    expect(faultOfEnd(2, { code: 4003, reason: 'rank 3: hung' })).toEqual(new RankError(3, 'hung'));
    expect(faultOfEnd(2, { code: 4003, reason: 'no memory' })).toEqual(new RankError(2, 'it gave up: no memory'));
  });

  it('has a reason of at most 123 bytes', () => {
    expect(Buffer.byteLength(clipReason('é'.repeat(100)))).toBe(122);
  });
});
