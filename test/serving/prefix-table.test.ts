import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockSet } from '../../src/serving/block-set.ts';
import { hashSlot } from '../../src/engine/prefix/hash-slot.ts';
import { PrefixTable } from '../../src/serving/prefix-table.ts';

const ENGINES = 32;
/** Prompts over few hashes, so that everything meets everything. */
const hashes = fc.uniqueArray(fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1, max: 20 }).map((n) => n * 2 ** 40)), { maxLength: 12 }).map((list) => Float64Array.from(list));
const step = fc.record({ what: fc.constantFrom('promise' as const, 'release' as const, 'commit' as const, 'evict' as const, 'clear' as const), engine: fc.constantFrom(0, 1, 31), hashes, from: fc.nat(3) });

interface Promised {
  readonly engine: number;
  readonly hashes: Float64Array;
  readonly from: number;
}

describe('the table of committed and pending blocks', () => {
  it('knows what sets and counters know, however blocks come and go', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: 'max' }), hashes, (steps, asked) => {
        const table = new PrefixTable(ENGINES, 0);
        const committed = Array.from({ length: ENGINES }, () => new Set<number>());
        let promises: Promised[] = [];
        for (const { what, engine, hashes, from } of steps) {
          if (what === 'promise') promises.push({ engine, hashes, from });
          if (what === 'commit') for (const hash of hashes) committed[engine]?.add(hash);
          if (what === 'evict') for (const hash of hashes) committed[engine]?.delete(hash);
          if (what === 'release') {
            const last = promises.findLast((promised) => promised.engine === engine);
            promises = promises.filter((promised) => promised !== last);
            if (last !== undefined) table.release(engine, last.hashes, last.from);
          } else if (what === 'promise') table.promise(engine, hashes, from);
          else if (what === 'clear') {
            table.clear(engine);
            committed[engine]?.clear();
            promises = promises.filter((promised) => promised.engine !== engine);
          } else table[what](engine, hashes);
        }
        const pending = committed.map((_, engine) => new Set(promises.filter((one) => one.engine === engine).flatMap((one) => Array.from(one.hashes.subarray(one.from)))));
        const leading = (known: (hash: number) => boolean): number => [...asked, NaN].findIndex((hash) => !known(hash));
        const matched = new Int32Array(ENGINES);
        table.match(asked, asked.length, ~0, matched);
        for (const engine of committed.keys()) {
          expect(table.committedBlocks(engine)).toBe(committed[engine]?.size);
          expect(table.pendingBlocks(engine)).toBe(pending[engine]?.size);
          expect(matched[engine]).toBe(leading((hash) => committed[engine]?.has(hash) === true || pending[engine]?.has(hash) === true));
          expect(table.matchCommitted(asked, asked.length, engine)).toBe(leading((hash) => committed[engine]?.has(hash) === true));
        }
        expect(table.size).toBe(new Set([...committed, ...pending].flatMap((set) => [...set])).size);
      }),
      { numRuns: 300 },
    );
  });

  it('grows beyond what was expected and is empty when all has gone', () => {
    const table = new PrefixTable(2, 10);
    const all = Float64Array.from({ length: 20_000 }, (_, i) => i * 12_345_678_901);
    table.commit(0, all);
    table.promise(1, all, 0);
    expect([table.size, table.committedBlocks(0), table.pendingBlocks(1)]).toEqual([20_000, 20_000, 20_000]);
    const matched = new Int32Array(2);
    table.match(all, 15_000, 0b11, matched);
    expect([...matched]).toEqual([15_000, 15_000]);
    table.evict(0, all.subarray(0, 10_000));
    table.release(1, all, 0);
    table.match(all.subarray(10_000), 10_000, 0b11, matched);
    expect([...matched, table.size]).toEqual([10_000, 0, 10_000]);
    table.evict(0, all);
    expect([table.size, table.committedBlocks(0), table.pendingBlocks(1)]).toEqual([0, 0, 0]);
  });

  it('finds hashes that want the same slot, at the end of the table as well, after others of them went', () => {
    const last: number[] = [];
    for (let hash = 1; last.length < 12; hash++) if (hashSlot(hash) >>> 22 === 1023) last.push(hash);
    const table = new PrefixTable(1, 0);
    table.commit(0, Float64Array.from(last));
    for (const gone of [last[3], last[0], last[7]] as number[]) {
      table.evict(0, Float64Array.of(gone));
      last.splice(last.indexOf(gone), 1);
      for (const hash of last) expect(table.matchCommitted(Float64Array.of(hash), 1, 0)).toBe(1);
      expect(table.matchCommitted(Float64Array.of(gone), 1, 0)).toBe(0);
    }
  });

  it('asks about the engines it was told to alone', () => {
    const table = new PrefixTable(3, 0);
    for (const engine of [0, 1, 2]) table.commit(engine, Float64Array.of(1, 2, 3));
    const matched = Int32Array.of(-1, -1, -1);
    table.match(Float64Array.of(1, 2, 9), 3, 0b101, matched);
    expect([...matched]).toEqual([2, -1, 2]);
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
