import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LINK_CHUNK_BYTES, Port, formatLink, parseLink, systemClock, type Link } from '../../src/collective/link.ts';
import { shapedReader } from '../../src/collective/shaped-reader.ts';
import { InputError } from '../../src/errors.ts';
import { HandClock } from './hand-clock.ts';

describe('a link', () => {
  it.each([
    ['18MB/s,50us', 18e6, 0.05],
    ['2GB/s', 2e9, 0],
    ['1.5GiB/s,0.2ms', 1.5 * 2 ** 30, 0.2],
    ['900GB/s', 900e9, 0],
    [' 100 KiB/s , 1s ', 102400, 1000],
  ])('is read from %j', (text, bytesPerSecond, latencyMs) => {
    expect(parseLink(text)).toEqual({ bytesPerSecond, latencyMs });
  });

  it.each(['', '2GB', '0GB/s', '-1GB/s', '2gb/s', '2GB/s,', '2GB/s,50', '2GB/s,50us,1', 'fast', '2GB/s,1min'])('is not %j', (text) => {
    expect(() => parseLink(text)).toThrow(InputError);
  });

  it('that cannot be read is refused with the forms expected', () => {
    expect(() => parseLink('10 Gbit')).toThrow('--link: "10 Gbit" is not a link; expected a rate above zero and, if wanted, a latency, such as 2GB/s, 1.5GiB/s,0.2ms or 18MB/s,50us');
  });

  it('is written in the form that is read', () => {
    expect(formatLink({ bytesPerSecond: 18e6, latencyMs: 0.05 })).toBe('18MB/s,50us');
    expect(formatLink({ bytesPerSecond: 2e9, latencyMs: 0 })).toBe('2GB/s');
    expect(formatLink({ bytesPerSecond: 500, latencyMs: 2.5 })).toBe('500B/s,2.5ms');
    fc.assert(fc.property(fc.integer({ min: 1, max: 1e15 }), fc.integer({ min: 0, max: 1e6 }), (bytesPerSecond, us) => {
      const read = parseLink(formatLink({ bytesPerSecond, latencyMs: us / 1e3 }));
      expect(read.bytesPerSecond / bytesPerSecond).toBeCloseTo(1, 10);
      expect(read.latencyMs).toBeCloseTo(us / 1e3, 9);
    }));
  });
});

/** 1 MiB/ms: a chunk takes a quarter of a millisecond. */
const link: Link = { bytesPerSecond: 2 ** 20 * 1e3, latencyMs: 3 };
const MIB = 2 ** 20;

/** Sends a message chunk by chunk as a transport does; returns when its last byte is at `to`. */
async function message(from: Port, to: Port, bytes: number): Promise<number> {
  let [departs, here]: [number | undefined, number] = [undefined, 0];
  for (let left = bytes; left > 0; left -= LINK_CHUNK_BYTES) {
    const chunk = Math.min(left, LINK_CHUNK_BYTES);
    departs = from.depart(chunk, departs);
    await from.nearly(departs);
    here = to.arrive(chunk, departs);
  }
  await to.until(here);
  return here;
}

describe('a port', () => {
  const world = (ranks: number): { clock: HandClock; ports: Port[] } => {
    const clock = new HandClock();
    return { clock, ports: Array.from({ length: ranks }, () => new Port(link, clock)) };
  };

  it('takes latency + n / rate for a message between idle ranks', async () => {
    const { clock, ports: [a, b] } = world(2);
    const sent = message(a!, b!, 64 * MIB);
    await clock.turnTo(100);
    expect(await sent).toBeCloseTo(3 + 64, 9);
  });

  it('loses nothing to timers that are late', async () => {
    const { clock, ports: [a, b] } = world(2);
    const sent = message(a!, b!, 64 * MIB);
    await clock.turnTo(200, 7.5);
    expect(await sent).toBeCloseTo(3 + 64, 9);
  });

  it('shares its ingress among two senders', async () => {
    const { clock, ports: [a, b, c] } = world(3);
    const sent = [message(a!, c!, 8 * MIB), message(b!, c!, 8 * MIB)];
    await clock.turnTo(100);
    expect(Math.max(...await Promise.all(sent))).toBeCloseTo(3 + 16, 9);
    expect(Math.min(...await Promise.all(sent))).toBeGreaterThan(3 + 14);
  });

  it('shares its egress among two receivers', async () => {
    const { clock, ports: [a, b, c] } = world(3);
    const sent = [message(a!, b!, 8 * MIB), message(a!, c!, 8 * MIB)];
    await clock.turnTo(100);
    expect(Math.max(...await Promise.all(sent))).toBeCloseTo(3 + 16, 9);
  });

  it('carries as much out as in at the same time', async () => {
    const { clock, ports: [a, b] } = world(2);
    const sent = [message(a!, b!, 8 * MIB), message(b!, a!, 8 * MIB)];
    await clock.turnTo(100);
    for (const here of await Promise.all(sent)) expect(here).toBeCloseTo(3 + 8, 9);
  });

  it('lets a small message pass a large one after some milliseconds', async () => {
    const { clock, ports: [a, b, c] } = world(3);
    const large = message(a!, b!, 64 * MIB);
    await clock.turnTo(10);
    const small = message(a!, c!, 1024);
    await clock.turnTo(100);
    expect(await small).toBeLessThan(10 + 3 + 3);
    expect(await large).toBeCloseTo(3 + 64 + 1 / 1024, 9);
  });

  it('counts from now for bytes that come from another clock', async () => {
    const { clock, ports: [a] } = world(1);
    await clock.turnTo(5);
    expect(a!.arrive(MIB, 1e9)).toBe(5 + 3);
    expect(a!.arrive(MIB)).toBe(5 + 3 + 1);
  });

  it('shapes reads of shards as it does messages', async () => {
    const { clock, ports: [a, b] } = world(2);
    const reader = shapedReader({
      rank: 1, range: { first: 0, count: 4 }, close: async () => undefined,
      read: async (_layer, _first, _count, into) => void into.fill(7),
    }, b!);
    const into = new Uint8Array(4 * MIB);
    let done = NaN;
    const read = reader.read(0, 0, 4, into).then(() => (done = clock.now()));
    const sent = message(a!, b!, 4 * MIB);
    await clock.turnTo(100);
    await read;
    expect(into.every((byte) => byte === 7)).toBe(true);
    expect(Math.max(done, await sent)).toBeCloseTo(3 + 8, 0);
  });

  it('keeps to the time of the system', async () => {
    const port = new Port({ bytesPerSecond: 1e9, latencyMs: 0 });
    const before = systemClock.now();
    for (let n = 0; n < 40; n++) await port.send(LINK_CHUNK_BYTES);
    const ms = systemClock.now() - before;
    expect(ms).toBeGreaterThanOrEqual(40 * LINK_CHUNK_BYTES / 1e6 - 0.001);
    expect(ms).toBeLessThan(200);
  });
});
