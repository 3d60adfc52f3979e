import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockSet } from '../../src/serving/block-set.ts';
import { hashSlot } from '../../src/engine/prefix/hash-slot.ts';
import { EngineSet } from '../../src/serving/engine-set.ts';
import { MaskTable } from '../../src/serving/mask-table.ts';
import { WideTable } from '../../src/serving/wide-table.ts';

/** Prompts over few hashes, so that everything meets everything. */
const hashes = fc.uniqueArray(fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1, max: 20 }).map((n) => n * 2 ** 40)), { maxLength: 12 }).map((list) => Float64Array.from(list));
const steps = (engines: readonly number[]) => fc.array(fc.record({
  what: fc.constantFrom('promise' as const, 'release' as const, 'commit' as const, 'evict' as const, 'clear' as const), engine: fc.constantFrom(...engines), hashes, from: fc.nat(3),
}), { maxLength: 100, size: 'max' });
const setOf = (engines: number, members: readonly number[]): EngineSet => {
  const set = new EngineSet(engines);
  for (const engine of members) set.set(engine, true);
  return set;
};

interface Promised {
  readonly engine: number;
  readonly hashes: Float64Array;
  readonly from: number;
}

const TABLES = [
  { name: 'of 32 engines, as masks', Table: MaskTable, engines: 32, used: [0, 1, 31] },
  { name: 'of 2 engines, as masks', Table: MaskTable, engines: 2, used: [0, 1] },
  { name: 'of 70 engines', Table: WideTable, engines: 70, used: [0, 1, 31, 32, 63, 69] },
  { name: 'of 4096 engines', Table: WideTable, engines: 4096, used: [0, 5, 4095] },
];

describe.each(TABLES)('the table of committed and pending blocks $name', ({ Table, engines, used }) => {
  it('knows what sets and counters know, however blocks come and go', () => {
    fc.assert(
      fc.property(steps(used), hashes, fc.subarray(used), (happenings, asked, among) => {
        const table = new Table(engines, 0);
        const committed = new Map(used.map((engine) => [engine, new Set<number>()]));
        let promises: Promised[] = [];
        for (const { what, engine, hashes, from } of happenings) {
          if (what === 'promise') promises.push({ engine, hashes, from });
          if (what === 'commit') for (const hash of hashes) committed.get(engine)?.add(hash);
          if (what === 'evict') for (const hash of hashes) committed.get(engine)?.delete(hash);
          if (what === 'release') {
            const last = promises.findLast((promised) => promised.engine === engine);
            promises = promises.filter((promised) => promised !== last);
            if (last !== undefined) table.release(engine, last.hashes, last.from);
          } else if (what === 'promise') table.promise(engine, hashes, from);
          else if (what === 'clear') {
            table.clear(engine);
            committed.get(engine)?.clear();
            promises = promises.filter((promised) => promised.engine !== engine);
          } else table[what](engine, hashes);
        }
        const pending = new Map(used.map((engine) => [engine, new Set(promises.filter((one) => one.engine === engine).flatMap((one) => Array.from(one.hashes.subarray(one.from))))]));
        const leading = (known: (hash: number) => boolean): number => [...asked, NaN].findIndex((hash) => !known(hash));
        const matched = new Map(used.map((engine) => [engine, leading((hash) => committed.get(engine)?.has(hash) === true || pending.get(engine)?.has(hash) === true)]));
        for (const engine of used) {
          expect(table.committedBlocks(engine)).toBe(committed.get(engine)?.size);
          expect(table.pendingBlocks(engine)).toBe(pending.get(engine)?.size);
          expect(table.match(asked, asked.length, engine)).toBe(matched.get(engine));
          expect(table.matchCommitted(asked, asked.length, engine)).toBe(leading((hash) => committed.get(engine)?.has(hash) === true));
        }
        const found = setOf(engines, used);
        const longest = Math.max(0, ...among.map((engine) => matched.get(engine) as number));
        expect(table.longest(asked, asked.length, setOf(engines, among), found)).toBe(among.length === 0 ? 0 : longest);
        expect(found.members()).toEqual(among.filter((engine) => matched.get(engine) === longest));
        expect(table.size).toBe(new Set([...committed.values(), ...pending.values()].flatMap((set) => [...set])).size);
      }),
      { numRuns: 120 },
    );
  });

  it('grows beyond what was expected and is empty when all has gone', () => {
    const table = new Table(engines, 10);
    const all = Float64Array.from({ length: 20_000 }, (_, i) => i * 12_345_678_901);
    table.commit(0, all);
    table.promise(1, all, 0);
    expect([table.size, table.committedBlocks(0), table.pendingBlocks(1)]).toEqual([20_000, 20_000, 20_000]);
    expect([0, 1].map((engine) => table.match(all, 15_000, engine))).toEqual([15_000, 15_000]);
    table.evict(0, all.subarray(0, 10_000));
    table.release(1, all, 0);
    expect([0, 1].map((engine) => table.match(all.subarray(10_000), 10_000, engine))).toEqual([10_000, 0]);
    expect(table.size).toBe(10_000);
    table.evict(0, all);
    expect([table.size, table.committedBlocks(0), table.pendingBlocks(1)]).toEqual([0, 0, 0]);
  });

  it('finds hashes that want the same slot, at the end of the table as well, after others of them went', () => {
    const last: number[] = [];
    for (let hash = 1; last.length < 12; hash++) if (hashSlot(hash) >>> 22 === 1023) last.push(hash);
    const table = new Table(engines, 0);
    table.commit(0, Float64Array.from(last));
    for (const gone of [last[3], last[0], last[7]] as number[]) {
      table.evict(0, Float64Array.of(gone));
      last.splice(last.indexOf(gone), 1);
      for (const hash of last) expect(table.matchCommitted(Float64Array.of(hash), 1, 0)).toBe(1);
      expect(table.matchCommitted(Float64Array.of(gone), 1, 0)).toBe(0);
    }
  });

  it('tells who has most of a prompt, up to the limit, of those it was asked about alone', () => {
    const table = new Table(engines, 0);
    const [low, high] = [used[0] as number, used.at(-1) as number];
    table.commit(low, Float64Array.of(1, 2, 3));
    table.promise(high, Float64Array.of(1, 2), 0);
    const found = new EngineSet(engines);
    const asked = (prompt: number[], limit: number, among: number[]): [number, number[]] => [table.longest(Float64Array.from(prompt), limit, setOf(engines, among), found), found.members()];
    expect(asked([1, 2, 3, 4], 4, [low, high])).toEqual([3, [low]]);
    expect(asked([1, 2, 3, 4], 2, [low, high])).toEqual([2, [low, high]]);
    expect(asked([1, 2, 3, 4], 4, [high])).toEqual([2, [high]]);
    expect(asked([9], 1, [low, high])).toEqual([0, [low, high]]);
  });
});

describe('the table of many engines', () => {
  it('has a block on all of them, and forgets it engine by engine', () => {
    const table = new WideTable(300, 0);
    const [prompt, all] = [Float64Array.of(1, 2), new EngineSet(300)];
    for (let engine = 0; engine < 300; engine++) {
      table.commit(engine, prompt);
      all.set(engine, true);
    }
    const found = new EngineSet(300);
    for (let gone = 0; gone < 300; gone++) {
      expect(table.longest(prompt, 2, all, found)).toBe(2);
      expect(found.members()).toEqual(Array.from({ length: 300 - gone }, (_, i) => gone + i));
      table.evict(gone, prompt);
    }
    expect([table.longest(prompt, 2, all, found), table.size]).toEqual([0, 0]);
  });
});

describe('the blocks of a batch', () => {
  it('are those that were added since it was emptied', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.integer({ min: 0, max: 3000 }), fc.constant('clear' as const)), { maxLength: 3000, size: 'max' }), (steps) => {
        const ours = new BlockSet();
        const model = new Set<number>();
        for (const step of steps) {
          if (step === 'clear') {
            ours.clear();
            model.clear();
          } else {
            ours.add(step * 2 ** 33);
            model.add(step * 2 ** 33);
          }
        }
        expect(ours.size).toBe(model.size);
        for (let i = 0; i <= 3000; i++) expect(ours.has(i * 2 ** 33)).toBe(model.has(i * 2 ** 33));
      }),
      { numRuns: 30 },
    );
  });

  it('may be more than it was made for', () => {
    const blocks = new BlockSet();
    for (let hash = 0; hash < 5000; hash++) blocks.add(hash);
    expect(blocks.size).toBe(5000);
    expect([0, 4999, 5000].map((hash) => blocks.has(hash))).toEqual([true, true, false]);
  });
});
