import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChunkPool } from '../../src/collective/websocket/chunk-pool.ts';
import { encodeHeader, HEADER_BYTES, type FrameHeader } from '../../src/collective/websocket/frame.ts';
import { upgradeRequest } from '../../src/collective/websocket/handshake.ts';
import { InboundLink } from '../../src/collective/websocket/inbound-link.ts';
import { MessagePeer } from '../../src/collective/websocket/message-peer.ts';
import { maskedFrame, writeHead } from '../../src/collective/websocket/wire-format.ts';
import { sampleGeometry, sampleRun } from './sample-shards.ts';
import { gatherLayer, member, openRing, type RingWorld } from './websocket-worlds.ts';

const SEED = Number(process.env['ASYNCEP_FUZZ_SEED'] ?? Date.now() % 1e6);
let state = SEED;
const random = (below: number): number => Math.floor((((state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0) >>> 4) / 2 ** 28) * below);
const bytes = (length: number): Buffer => Buffer.from(Uint8Array.from({ length }, () => random(256)));
/** Bad frames that are sent, over all connections of the file; more than the 10,000 that are asked for. */
const [CLIENTS, SERVERS, STRANGERS, FRAMES] = [700, 300, 100, 10];

const geometry = sampleGeometry({ world: 2, numExperts: 4, expertBytes: 128 << 10 });
let ring: RingWorld;
let address: string;
let over = false;
let gathers = 0;
const wrong: string[] = [];
let healthy: Promise<unknown>;
const startBytes = process.memoryUsage().rss;

beforeAll(async () => {
  console.log(`fuzzing with ASYNCEP_FUZZ_SEED=${SEED}`);
  ring = await openRing(geometry, {}, 'sockets');
  address = await ring.ranks[0]!.host.listen();
  // Both ranks go on together until neither wants more: they take the same number of gathers.
  healthy = (async () => {
    while (!over) {
      const layer = geometry.layers[gathers++ % geometry.layers.length] as number;
      const got = await Promise.all(ring.ranks.map((rank) => gatherLayer(rank, geometry, layer)));
      for (const [rank, layerBytes] of got.entries()) if (Buffer.compare(layerBytes, sampleRun(geometry, layer, 0, 4)) !== 0) wrong.push(`rank ${rank} gather ${gathers}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  healthy.catch(() => undefined);
});
afterAll(() => ring.close());

/** A frame of a message from rank 0, with anything about it changed. */
function frame(payload: Buffer, sequence: number, header: Partial<FrameHeader> = {}, { opcode = 2, headBytes = HEADER_BYTES + payload.length } = {}): Buffer {
  const head = Buffer.alloc(10 + HEADER_BYTES);
  const start = writeHead(opcode, headBytes, head);
  encodeHeader({ kind: 'message', origin: 0, pass: 1, layer: 1, lengthBytes: payload.length, offsetBytes: 0, totalBytes: payload.length, crc: crc32(payload), ...header }, sequence, head, start);
  return Buffer.concat([head.subarray(0, start + HEADER_BYTES), payload]);
}

const poke = (buffer: Buffer, at: number, value: number): Buffer => {
  buffer[at] = value;
  return buffer;
};
/** What is wrong with a frame of a server, by name; `sequence` is what it should have. */
const BAD: Record<string, (sequence: number) => Buffer> = {
  'random bytes': () => poke(bytes(2 + random(300)), 0, 0x90 | random(128)),
  'wrong CRC': (sequence) => frame(bytes(1 + random(500)), sequence, { crc: random(2 ** 28) }),
  replayed: (sequence) => frame(bytes(10), sequence - 1),
  're-ordered': (sequence) => frame(bytes(10), sequence + 1 + random(1000)),
  'an offset that is not due': (sequence) => frame(bytes(10), sequence, { offsetBytes: 1 + random(1000), totalBytes: 5000 }),
  'more than its message': (sequence) => frame(bytes(10), sequence, { totalBytes: 9 }),
  oversized: (sequence) => frame(bytes(10), sequence, {}, { headBytes: 2 ** 20 + 33 + random(2 ** 40) }),
  'too short for a header': () => Buffer.concat([Buffer.from([0x82, random(32)]), bytes(40)]),
  'unknown kind': (sequence) => poke(frame(bytes(10), sequence), 2, 3 + random(200)),
  'of another rank': (sequence) => frame(bytes(10), sequence, { origin: 1 + random(200) }),
  'with weights': (sequence) => frame(bytes(10), sequence, { kind: 'weights' }),
  'of another length': (sequence) => frame(bytes(10), sequence, { lengthBytes: 11 + random(2 ** 20) }),
  masked: () => maskedFrame(2, bytes(50)),
  fragmented: (sequence) => poke(frame(bytes(10), sequence), 0, 0x02),
  'an unknown control message': () => Buffer.concat([Buffer.from([0x81, 20]), bytes(20)]),
};
const KINDS = Object.keys(BAD);

const accept = (request: string): string => createHash('sha1').update(`${/Sec-WebSocket-Key: (.*)\r/.exec(request)?.[1]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
const welcome = (request: string): Buffer => Buffer.concat([
  Buffer.from(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept(request)}\r\nSec-WebSocket-Protocol: asyncep.1\r\n\r\n`),
  Buffer.from([0x81, 18]), Buffer.from('{"type":"welcome"}'),
]);

/** Sends `data` to the live rank as it is; resolves with the code and reason it closes with, or its answer in HTTP. */
function attack(...data: Uint8Array[]): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(address).port), '127.0.0.1', () => socket.write(Buffer.concat(data)));
    let got = Buffer.alloc(0);
    socket.on('data', (part) => (got = Buffer.concat([got, part])));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      const body = got.subarray(got.indexOf('\r\n\r\n') + 4);
      resolve(!got.toString('latin1').startsWith('HTTP/1.1 101') ? got.toString('latin1').split('\r\n')[0] ?? '' : body[0] === 0x88 ? `${body.readUInt16BE(2)} ${body.toString('utf8', 4)}` : `open: ${body.toString('hex')}`);
    });
    socket.setTimeout(5_000, () => socket.destroy());
    setTimeout(() => socket.end(), 30).unref();
  });
}

/** Does `job` `times` times, some at once. */
async function many(times: number, job: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: 12 }, async () => {
    while (next < times) await job(next++);
  }));
}

describe('a live rank, beside a ring that goes on,', () => {
  it('closes a connection over which a server sends what is not due, with a reason', async () => {
    const pool = new ChunkPool();
    let script: (socket: Socket) => void = () => undefined;
    const server = createServer((socket) => {
      const mine = script;
      socket.on('error', () => undefined);
      socket.once('data', (request: Buffer) => {
        socket.write(welcome(request.toString('latin1')));
        mine(socket);
      });
    });
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const outcomes: Record<string, string> = {};
    for (let index = 0; index < CLIENTS; index++) {
      const kind = KINDS[index % KINDS.length] as string;
      const good = random(3);
      const frames = Array.from({ length: good }, (_, n) => frame(bytes(1 + random(200)), n));
      const bad = Array.from({ length: FRAMES }, () => (BAD[kind] as (sequence: number) => Buffer)(good));
      script = (socket) => void socket.write(Buffer.concat([...frames, ...bad]));
      const peer = new MessagePeer(1, 0, undefined);
      const link = await InboundLink.open({
        membership: member(1, 2), peer: 0, address: url, purpose: 'messages', deadlineMs: 5_000, pool,
        expect: (header) => peer.expect(header), frame: (header, chunk) => peer.frame(header, chunk),
      }).catch((error: Error) => error);
      const { code, reason } = link instanceof Error ? { code: Number(/cut \((\d+)\)/.exec(link.message)?.[1] ?? 4000), reason: link.message } : await link.ended;
      if (![1002, 1009, 4000, 4001].includes(code) || reason === '') outcomes[`${kind}, case ${index}`] = `${code} ${reason}`;
      peer.close(new Error('over'));
    }
    server.close();
    expect(outcomes).toEqual({});
    expect(pool.heldBytes).toBe(0);
  });

  it('closes a connection over which a client sends what is not due, before it is let in', async () => {
    const masks: Record<string, () => Buffer> = {
      binary: () => maskedFrame(2, bytes(random(300))),
      'random bytes': () => bytes(20 + random(300)),
      'no JSON': () => maskedFrame(1, Buffer.from('{"type":')),
      'unknown message': () => maskedFrame(1, Buffer.from(`{"type":"x${random(1e6)}"}`)),
      'want before hello': () => maskedFrame(1, Buffer.from('{"type":"want","gather":0,"layer":1}')),
      'not masked': () => frame(bytes(20), 0),
      oversized: () => Buffer.concat([Buffer.from([0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0]), bytes(100)]),
    };
    const kinds = Object.keys(masks);
    const outcomes: Record<string, string> = {};
    for (let index = 0; index < SERVERS; index++) {
      const kind = kinds[index % kinds.length] as string;
      const { text } = upgradeRequest(member(1, 2), 'messages', 'x');
      const answer = await attack(Buffer.from(text), ...Array.from({ length: FRAMES }, () => (masks[kind] as () => Buffer)()));
      const expected = kind === 'random bytes' ? /^(1002|1003|1007|1009|4001|open)/ : /^(1002|1003|1007|1009|4001) /;
      if (!expected.test(answer)) outcomes[`${kind}, case ${index}`] = answer;
    }
    expect(outcomes).toEqual({});
  });

  it('answers strangers with a refusal', async () => {
    const { text } = upgradeRequest({ ...member(1, 2), token: 'guess' }, 'weights', 'x');
    const answers = new Set<string>();
    await many(STRANGERS, async (index) => void answers.add(await (index % 2 === 0 ? attack(Buffer.from(text), bytes(500)) : attack(bytes(200 + random(2000)), Buffer.from('\r\n\r\n')))));
    expect([...answers].filter((answer) => !/^HTTP\/1\.1 (400|401|431) /.test(answer))).toEqual([]);
  });

  it('has not touched the data of the ring, and memory is bounded', async () => {
    over = true;
    await healthy;
    expect(wrong).toEqual([]);
    expect(gathers).toBeGreaterThan(10);
    expect((CLIENTS + SERVERS) * FRAMES).toBeGreaterThanOrEqual(10_000);
    expect(process.memoryUsage().rss - startBytes).toBeLessThan(300 << 20);
    for (const { host } of ring.ranks) expect(host.transport.mostHeldBytes).toBeLessThanOrEqual(2 * 2 * geometry.expertBytes);
  });
});
