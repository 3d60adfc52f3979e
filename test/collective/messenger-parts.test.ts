import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FrameError, FrameParser, KIND, decodeFree, decodeMessage, decodePiece, encodeFrame, encodeFree, encodeMessage, encodePiece, type Kind,
} from '../../src/collective/frames.ts';
import { Pulse, silentFor } from '../../src/collective/pulse.ts';
import { REGION_ALIGNMENT, RegionAllocator } from '../../src/collective/region-allocator.ts';

describe('frames', () => {
  const parse = (parser: FrameParser, data: Buffer): [Kind, string][] => {
    const frames: [Kind, string][] = [];
    parser.push(data, (kind, body) => void frames.push([kind, body.toString('latin1')]));
    return frames;
  };

  it('come out as they went in, however the stream is cut', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.constantFrom(...Object.values(KIND)), fc.string({ unit: 'binary-ascii', maxLength: 40 }))), fc.array(fc.nat(40)), (frames, cuts) => {
      let stream = Buffer.concat(frames.map(([kind, body]) => encodeFrame(kind, Buffer.from(body, 'latin1'))));
      const parser = new FrameParser();
      const found: [Kind, string][] = [];
      for (const cut of cuts) {
        found.push(...parse(parser, stream.subarray(0, cut)));
        stream = stream.subarray(cut);
      }
      found.push(...parse(parser, stream));
      expect(found).toEqual(frames);
    }));
  });

  it.each([
    ['magic', (frame: Buffer) => frame.writeUInt32LE(0, 0)],
    ['kind', (frame: Buffer) => frame.writeUInt32LE(9, 4)],
    ['length', (frame: Buffer) => frame.writeUInt32LE(1 << 20, 8)],
  ])('of a wrong %s are refused', (_, spoil) => {
    const frame = encodeFrame(KIND.alive);
    spoil(frame);
    expect(() => new FrameParser().push(frame, () => undefined)).toThrow(new FrameError('sent bytes that are not of this protocol'));
  });

  const body = (frame: Buffer): Buffer => frame.subarray(12);

  it('of messages, pieces and freed regions say what they were given', () => {
    const message = { id: 2 ** 32 - 1, tag: { pass: 7, step: 2 ** 32 - 1 }, bytes: 2 ** 40 };
    expect(decodeMessage(body(encodeMessage(message)))).toEqual(message);
    const piece = { id: 3, offset: 2 ** 33, bytes: 5, departedMs: 12.25, at: 4096 };
    expect(decodePiece(body(encodePiece(piece)), 8192)).toEqual(piece);
    const inline = decodePiece(body(encodePiece({ ...piece, at: Buffer.from('12345') })), 8192);
    expect({ ...inline, at: Buffer.from(inline.at as Uint8Array).toString() }).toEqual({ ...piece, at: '12345' });
    expect(decodeFree(body(encodeFree(8192)))).toBe(8192);
  });

  it.each([
    ['outside the outbox', { at: 8192 - 4 }],
    ['before the outbox', { at: -4096 }],
    ['of another length than their payload', { at: Buffer.from('1234') }],
    ['at half a byte', { offset: 0.5 }],
  ])('of pieces %s are refused', (_, change) => {
    const piece = encodePiece({ id: 3, offset: 0, bytes: 5, departedMs: NaN, at: 0, ...change });
    expect(() => decodePiece(body(piece), 8192)).toThrow(FrameError);
  });

  it('that are too short are refused', () => {
    for (const decode of [decodeMessage, decodeFree, (short: Buffer) => decodePiece(short, 8192)]) expect(() => decode(Buffer.alloc(3))).toThrow(FrameError);
  });
});

describe('a pulse', () => {
  const wait = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

  it('beats at least four times a deadline and tells once when nothing is heard for one', async () => {
    const silences: number[] = [];
    let beats = 0;
    const pulse = new Pulse(200, () => void beats++, (silentMs) => void silences.push(silentMs));
    await wait(500);
    pulse.stop();
    expect(beats).toBeGreaterThanOrEqual(3);
    expect(silences).toHaveLength(1);
    expect(silences[0]).toBeGreaterThanOrEqual(200);
    expect(silentFor(10_049)).toBe('its link has been silent for 10.0 s');
  });

  it('does not take a stall of its own event loop for the silence of the peer', async () => {
    let silent = false;
    const pulse = new Pulse(200, () => undefined, () => void (silent = true));
    const peer = setInterval(() => pulse.heard(), 20);
    await wait(50);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600);
    await wait(50);
    clearInterval(peer);
    pulse.stop();
    expect(silent).toBe(false);
  });
});

describe('regions of an outbox', () => {
  const pages = 16;

  it('never overlap, start at pages, and are all one again when all are free', () => {
    const anyStep = fc.oneof(fc.record({ take: fc.integer({ min: 1, max: 5 * REGION_ALIGNMENT }) }), fc.record({ free: fc.nat() }));
    fc.assert(fc.property(fc.array(anyStep, { maxLength: 60 }), (steps) => {
      const regions = new RegionAllocator(pages * REGION_ALIGNMENT);
      const freed: boolean[] = [];
      const inUse: { start: number; end: number }[] = [];
      for (const step of steps) {
        if ('free' in step) {
          const [region] = inUse.splice(step.free % (inUse.length || 1), 1);
          freed.push(region === undefined || regions.free(region.start));
          continue;
        }
        const start = regions.take(step.take);
        if (start === null) continue;
        const end = start + step.take;
        expect(start % REGION_ALIGNMENT).toBe(0);
        expect(end).toBeLessThanOrEqual(pages * REGION_ALIGNMENT);
        for (const other of inUse) expect(end <= other.start || other.end <= start).toBe(true);
        inUse.push({ start, end });
      }
      for (const { start } of inUse) freed.push(regions.free(start));
      expect(freed).not.toContain(false);
      expect(regions.take(pages * REGION_ALIGNMENT)).toBe(0);
    }));
  });

  it('that are low are used again first', () => {
    const regions = new RegionAllocator(pages * REGION_ALIGNMENT);
    expect([regions.take(1), regions.take(5000), regions.take(1)]).toEqual([0, 4096, 12288]);
    regions.free(4096);
    expect([regions.take(9000), regions.take(8192)]).toEqual([16384, 4096]);
  });

  it('cannot be freed twice', () => {
    const regions = new RegionAllocator(pages * REGION_ALIGNMENT);
    regions.take(1);
    expect([regions.free(0), regions.free(0), regions.free(4096)]).toEqual([true, false, false]);
  });
});
