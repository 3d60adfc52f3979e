/** What every messenger promises, whatever carries the bytes: the suite of all transports. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Messenger, Tag } from '../../src/collective/messenger.ts';
import { RankError } from '../../src/errors.ts';
import type { OpenWorld, World } from './worlds.ts';

export const tag = (step: number, pass = 0): Tag => ({ pass, step });

/** Bytes that tell where they belong. */
export function pattern(bytes: number, seed: number): Uint8Array {
  const out = new Uint8Array(bytes);
  for (let i = 0, x = seed + 1; i < bytes; i++) out[i] = (x = (Math.imul(x, 1664525) + 1013904223) >>> 0) >>> 24;
  return out;
}

/** What a promise fails with. */
export const failure = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => 'no failure', (error: unknown) => error);

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

export async function received(messenger: Messenger, peer: number, at: Tag, bytes: number): Promise<Uint8Array> {
  const into = new Uint8Array(bytes);
  return into.subarray(0, await messenger.receive(peer, at, into));
}

export function messengerContract(name: string, openWorld: OpenWorld): void {
  describe(`messages ${name}`, () => {
    let world: World;
    let a: Messenger;
    let b: Messenger;
    beforeEach(async () => {
      world = await openWorld(2);
      [a, b] = world.messengers as [Messenger, Messenger];
    });
    afterEach(() => world.close());

    it.each([0, 1, 4095, 8192, 8193, 300_001, (5 << 20) + 3])('of %i bytes come as they were sent', async (bytes) => {
      const sent = pattern(bytes, bytes);
      const sending = a.send(1, tag(1), sent);
      const into = new Uint8Array(bytes + 16).fill(0xaa);
      expect(await b.receive(0, tag(1), into)).toBe(bytes);
      await sending;
      expect(same(into.subarray(0, bytes), sent)).toBe(true);
      expect(into.subarray(bytes).every((byte) => byte === 0xaa)).toBe(true);
      expect([a.transferred(), b.transferred()]).toEqual([{ sentBytes: bytes, receivedBytes: 0 }, { sentBytes: 0, receivedBytes: bytes }]);
    });

    it('may be sent long before they are asked for', async () => {
      const sent = pattern(100_000, 3);
      await a.send(1, tag(1), sent);
      const copy = sent.slice();
      sent.fill(0); // `send` is over: the bytes may be used again
      expect(same(await received(b, 0, tag(1), 100_000), copy)).toBe(true);
    });

    it('of one tag come in the order of sending, those of different tags in any order', async () => {
      const sizes = [200_000, 10, 0, 20_000];
      await Promise.all([1, 2].flatMap((step) => sizes.map((bytes, n) => a.send(1, tag(step), pattern(bytes, 10 * step + n)))));
      for (const step of [2, 1]) {
        for (const [n, bytes] of sizes.entries()) expect(same(await received(b, 0, tag(step), 200_000), pattern(bytes, 10 * step + n))).toBe(true);
      }
    });

    it('that nobody asks for do not hold up those behind them', async () => {
      const large = pattern(24 << 20, 1);
      await Promise.all(Array.from({ length: 5 }, (_, step) => a.send(1, tag(step), large)));
      await a.send(1, tag(9), pattern(50_000, 2));
      expect(same(await received(b, 0, tag(9), 50_000), pattern(50_000, 2))).toBe(true);
      for (const step of [4, 2, 0, 1, 3]) expect(same(await received(b, 0, tag(step), large.length), large)).toBe(true);
    });

    it('go both ways at once, of several passes', async () => {
      const exchange = async (from: Messenger, to: number, pass: number): Promise<boolean> => {
        const [mine, theirs] = [pattern(2_000_000, 10 * pass + from.rank), pattern(2_000_000, 10 * pass + to)];
        const [, got] = await Promise.all([from.send(to, tag(0, pass), mine), received(from, to, tag(0, pass), mine.length)]);
        return same(got, theirs);
      };
      expect(await Promise.all([0, 1, 2].flatMap((pass) => [exchange(a, 1, pass), exchange(b, 0, pass)]))).toEqual(Array.from({ length: 6 }, () => true));
    });

    it('longer than the memory that was given are refused, and later ones come', async () => {
      const refused = failure(b.receive(0, tag(1, 7), new Uint8Array(99_999)));
      await a.send(1, tag(1, 7), new Uint8Array(100_000));
      expect(await refused).toEqual(new RankError(0, 'its message of pass 7, step 1 has 100000 bytes; expected at most 99999'));
      await a.send(1, tag(2), pattern(7, 7));
      expect(await received(b, 0, tag(2), 7)).toEqual(pattern(7, 7));
    });

    it('go to other ranks of the world only', async () => {
      await expect(a.send(0, tag(0), new Uint8Array(1))).rejects.toThrow(new RangeError('rank 0 of 2 has no peer 0'));
      await expect(a.receive(2, tag(0), new Uint8Array(1))).rejects.toThrow(RangeError);
    });

    it('are waited for until the messenger is closed, with its reason', async () => {
      const reason = new RankError(3, 'ran out of memory');
      const waits = [tag(1), tag(2)].map((at) => failure(a.receive(1, at, new Uint8Array(8))));
      const peer = failure(b.receive(0, tag(1), new Uint8Array(8)));
      await a.close(reason);
      expect(await Promise.all(waits)).toEqual([reason, reason]);
      expect(await peer).toEqual(new RankError(0, 'it gave up: rank 3: ran out of memory'));
      await expect(a.send(1, tag(1), new Uint8Array(8))).rejects.toBe(reason);
      await expect(b.send(0, tag(1), new Uint8Array(8))).rejects.toThrow(RankError);
    });

    it('that were sent before the peer closed are received, others are not', async () => {
      await a.send(1, tag(1), pattern(50_000, 1));
      const missing = failure(b.receive(0, tag(2), new Uint8Array(8)));
      await a.close();
      expect(await missing).toEqual(new RankError(0, 'it closed its link'));
      expect(same(await received(b, 0, tag(1), 50_000), pattern(50_000, 1))).toBe(true);
      await expect(b.receive(0, tag(1), new Uint8Array(8))).rejects.toThrow('rank 0: it closed its link');
      await expect(a.receive(1, tag(1), new Uint8Array(8))).rejects.toThrow('closed');
    });
  });

  describe(`a shaped link ${name}`, () => {
    it('carries what it may and no more, in both directions', async () => {
      const { messengers: [a, b], close } = await openWorld(2, { deadlineMs: 10_000, link: { bytesPerSecond: 50e6, latencyMs: 5 } });
      const start = performance.now();
      const bytes = 5_000_000;
      await Promise.all([[a!, 1], [b!, 0]].flatMap(([from, to]) => [
        (from as Messenger).send(to as number, tag(0), new Uint8Array(bytes)), (from as Messenger).receive(to as number, tag(0), new Uint8Array(bytes)),
      ]));
      const ms = performance.now() - start;
      await close();
      expect(ms).toBeGreaterThanOrEqual(5 + 100);
      expect(ms).toBeLessThan(200);
    });
  });
}
