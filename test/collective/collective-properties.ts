/** Collective operations against their definitions, over any transport, with uneven and empty parts. */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { partition } from '../../src/model/shard.ts';
import { Collectives, type OperationName } from '../../src/collective/collectives.ts';
import type { TransferCount } from '../../src/collective/messenger.ts';
import { asBytes } from '../../src/collective/reduce.ts';
import { pattern, tag } from './messenger-contract.ts';
import type { OpenWorld, World } from './worlds.ts';

export interface PropertyOptions {
  /** Random cases of each property. */
  readonly runs?: number;
  /** World sizes to choose from. */
  readonly worlds?: readonly number[];
}

const anyLength = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 64 }), fc.integer({ min: 8000, max: 8400 }), fc.integer({ min: 60_000, max: 300_000 }));
/** Elements of float32: beyond one block of a reducing operation now and then. */
const anyCount = fc.oneof({ weight: 30, arbitrary: fc.integer({ min: 0, max: 3000 }) }, { weight: 1, arbitrary: fc.integer({ min: 262_000, max: 270_000 }) });
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Floats of very different magnitude, so that another order of summing would show. */
export function floats(count: number, seed: number): Float32Array {
  const bytes = pattern(2 * count, seed);
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) out[i] = ((bytes[2 * i] as number) - 128) * 2 ** ((bytes[2 * i + 1] as number) % 40);
  return out;
}

/** The definition: rank after rank, rounded to float32 each time. */
function sumInOrder(parts: readonly Float32Array[]): Float32Array {
  const sums = (parts[0] as Float32Array).slice();
  for (const part of parts.slice(1)) for (let i = 0; i < sums.length; i++) sums[i] = Math.fround(sums[i]! + part[i]!);
  return sums;
}

function expectBytes(found: Uint8Array, wanted: Uint8Array): void {
  expect(Buffer.compare(found, wanted)).toBe(0);
}

/** Runs the suite; {@link OpenWorld} gives each rank its own messenger. */
export function collectiveProperties(name: string, openWorld: OpenWorld, { runs = 15, worlds: sizes = [1, 2, 3, 4, 5, 6, 7, 8] }: PropertyOptions = {}): void {
  describe(`collectives ${name}`, () => {
    const worlds = new Map<number, { world: World; ranks: Collectives[] }>();
    let pass = 0;
    afterAll(async () => void await Promise.all([...worlds.values()].map(({ world }) => world.close())));

    /** Every rank's part of one operation; checks the bytes that each counted under `operation`. */
    async function everyRank(
      world: number, operation: OperationName, expected: (rank: number) => TransferCount, body: (rank: Collectives, pass: number) => Promise<unknown>,
    ): Promise<void> {
      let open = worlds.get(world);
      if (open === undefined) {
        const opened = await openWorld(world);
        worlds.set(world, (open = { world: opened, ranks: opened.messengers.map((messenger) => new Collectives(messenger)) }));
      }
      const before = open.ranks.map((rank) => rank.counts()[operation]);
      const now = pass++;
      await Promise.all(open.ranks.map((rank) => body(rank, now)));
      for (const [r, rank] of open.ranks.entries()) {
        const { sentBytes, receivedBytes } = rank.counts()[operation];
        expect({ sentBytes: sentBytes - before[r]!.sentBytes, receivedBytes: receivedBytes - before[r]!.receivedBytes }).toEqual(expected(r));
      }
    }

    const anyWorld = fc.constantFrom(...sizes);
    const check = <T>(arbitrary: fc.Arbitrary<T>, body: (value: T) => Promise<void>) => (): Promise<void> => fc.assert(fc.asyncProperty(arbitrary, body), { numRuns: runs });
    const withLengths = anyWorld.chain((world) => fc.record({ world: fc.constant(world), lengths: fc.array(anyLength, { minLength: world, maxLength: world }), inPlace: fc.boolean() }));
    const withCounts = anyWorld.chain((world) => fc.record({ world: fc.constant(world), counts: fc.array(anyCount, { minLength: world, maxLength: world }), inPlace: fc.boolean() }));
    const withMatrix = anyWorld.chain((world) => fc.record({
      world: fc.constant(world),
      /** From, to: bytes; null where nothing goes. */
      lengths: fc.array(fc.array(fc.option(anyLength, { freq: 5 }), { minLength: world, maxLength: world }), { minLength: world, maxLength: world }),
      spare: fc.integer({ min: 0, max: 100 }),
    }));

    it('exchange: each rank gets the part meant for it from every rank, and its length', check(withMatrix, async ({ world, lengths, spare }) => {
      const others = (rank: number, of: (peer: number) => number | null): number => sum(lengths.map((_, peer) => (peer === rank ? 0 : of(peer) ?? 0)));
      const expected = (rank: number): TransferCount => ({
        sentBytes: others(rank, (peer) => lengths[rank]![peer] ?? null), receivedBytes: others(rank, (peer) => lengths[peer]![rank] ?? null),
      });
      await everyRank(world, 'exchange', expected, async (rank, pass) => {
        const parts = lengths[rank.rank]!.map((bytes, to) => (bytes === null ? null : pattern(bytes, 8 * rank.rank + to)));
        const into = lengths.map((row) => (row[rank.rank] === null ? null : new Uint8Array(row[rank.rank]! + spare)));
        const got = await rank.exchange(tag(0, pass), parts, into);
        expect(got).toEqual(lengths.map((row) => row[rank.rank] ?? 0));
        for (const [from, place] of into.entries()) if (place !== null) expectBytes(place.subarray(0, got[from]), pattern(got[from]!, 8 * from + rank.rank));
      });
    }));

    it('allToAllV: the same where lengths are known', check(withMatrix, async ({ world, lengths }) => {
      const length = (from: number, to: number): number => lengths[from]![to] ?? 0;
      const expected = (rank: number): TransferCount => ({
        sentBytes: sum(lengths.map((_, to) => (to === rank ? 0 : length(rank, to)))), receivedBytes: sum(lengths.map((_, from) => (from === rank ? 0 : length(from, rank)))),
      });
      await everyRank(world, 'allToAllV', expected, async (rank, pass) => {
        const into = lengths.map((_, from) => new Uint8Array(length(from, rank.rank)));
        await rank.allToAllV(tag(0, pass), lengths.map((_, to) => pattern(length(rank.rank, to), 8 * rank.rank + to)), into);
        for (const [from, place] of into.entries()) expectBytes(place, pattern(place.length, 8 * from + rank.rank));
      });
    }));

    it('allGather: every rank gets all parts in the order of ranks and sends its own to P - 1 others', check(withLengths, async ({ world, lengths, inPlace }) => {
      const whole = Buffer.concat(lengths.map((bytes, rank) => pattern(bytes, rank)));
      const expected = (rank: number): TransferCount => ({ sentBytes: (world - 1) * lengths[rank]!, receivedBytes: whole.length - lengths[rank]! });
      await everyRank(world, 'allGather', expected, async (rank, pass) => {
        const into = new Uint8Array(whole.length);
        const start = sum(lengths.slice(0, rank.rank));
        const own = inPlace ? into.subarray(start, start + lengths[rank.rank]!) : new Uint8Array(lengths[rank.rank]!);
        own.set(pattern(own.length, rank.rank));
        await rank.allGather(tag(0, pass), own, into, lengths);
        expectBytes(into, whole);
      });
    }));

    it('reduceScatter: every rank gets its part of the sum in the order of ranks and sends what is not its own', check(withCounts, async ({ world, counts, inPlace }) => {
      const inputs = counts.map((_, rank) => floats(sum(counts), rank));
      const whole = sumInOrder(inputs);
      const expected = (rank: number): TransferCount => ({ sentBytes: 4 * (whole.length - counts[rank]!), receivedBytes: 4 * (world - 1) * counts[rank]! });
      await everyRank(world, 'reduceScatter', expected, async (rank, pass) => {
        const start = sum(counts.slice(0, rank.rank));
        const end = start + counts[rank.rank]!;
        const input = inputs[rank.rank]!.slice();
        const into = inPlace ? input.subarray(start, end) : new Float32Array(end - start);
        await rank.reduceScatter(tag(0, pass), input, into, counts);
        expectBytes(asBytes(into), asBytes(whole.subarray(start, end)));
      });
    }));

    it('allReduce: every rank gets the sum to the last bit and sends twice what is not its own', check(fc.tuple(anyWorld, anyCount), async ([world, count]) => {
      const inputs = Array.from({ length: world }, (_, rank) => floats(count, rank));
      const whole = sumInOrder(inputs);
      const parts = partition(count, world).map((part) => part.count);
      const bytes = (rank: number): number => 4 * (count - parts[rank]!) + 4 * (world - 1) * parts[rank]!;
      await everyRank(world, 'allReduce', (rank) => ({ sentBytes: bytes(rank), receivedBytes: bytes(rank) }), async (rank, pass) => {
        const data = inputs[rank.rank]!.slice();
        await rank.allReduce(tag(0, pass), data);
        expectBytes(asBytes(data), asBytes(whole));
      });
    }));

    it('broadcast: every rank gets the root\'s bytes, and each but the last in line hands them on', check(fc.tuple(anyWorld, fc.nat(), fc.oneof(anyLength, fc.constant(2_500_000))), async ([world, anyRoot, bytes]) => {
      const root = anyRoot % world;
      const last = (root + world - 1) % world;
      const expected = (rank: number): TransferCount => ({ sentBytes: rank === last ? 0 : bytes, receivedBytes: rank === root ? 0 : bytes });
      await everyRank(world, 'broadcast', expected, async (rank, pass) => {
        const data = rank.rank === root ? pattern(bytes, root) : new Uint8Array(bytes);
        await rank.broadcast(tag(0, pass), root, data);
        expectBytes(data, pattern(bytes, root));
      });
    }));

    it('send and recv: a message from the first rank to the last', check(fc.tuple(fc.constantFrom(...sizes.filter((size) => size > 1)), anyLength), async ([world, bytes]) => {
      const expected = (rank: number): TransferCount => ({ sentBytes: rank === 0 ? bytes : 0, receivedBytes: rank === world - 1 ? bytes : 0 });
      await everyRank(world, 'sendRecv', expected, async (rank, pass) => {
        if (rank.rank === 0) await rank.send(tag(0, pass), world - 1, pattern(bytes, 1));
        if (rank.rank !== world - 1) return;
        const into = new Uint8Array(bytes);
        expect(await rank.recv(tag(0, pass), 0, into)).toBe(bytes);
        expectBytes(into, pattern(bytes, 1));
      });
    }));

    it('barrier: nobody is through before everybody has come', check(fc.tuple(anyWorld, fc.nat()), async ([world, anyLate]) => {
      let came = 0;
      await everyRank(world, 'barrier', () => ({ sentBytes: 0, receivedBytes: 0 }), async (rank, pass) => {
        if (rank.rank === anyLate % world) await new Promise((resolve) => void setTimeout(resolve, 2));
        came++;
        await rank.barrier(tag(0, pass));
        expect(came).toBe(world);
      });
    }));

    it('several operations may be under way at the same time', async () => {
      const world = sizes.at(-1) as number;
      const count = 50_000;
      const inputs = Array.from({ length: world }, (_, rank) => floats(count, rank));
      const whole = sumInOrder(inputs);
      await everyRank(world, 'barrier', () => ({ sentBytes: 0, receivedBytes: 0 }), async (rank, pass) => {
        const data = [0, 1, 2].map(() => inputs[rank.rank]!.slice());
        await Promise.all([...data.map((copy, step) => rank.allReduce(tag(step, pass), copy)), rank.barrier(tag(9, pass))]);
        for (const copy of data) expectBytes(asBytes(copy), asBytes(whole));
      });
    });
  });
}
