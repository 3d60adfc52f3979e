/** The index of the prefix cache: what it finds, what it keeps, what makes room. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { askedRows, type Sequence } from '../../src/engine/batch.ts';
import { blockHashes } from '../../src/engine/prefix/block-hash.ts';
import { PrefixCache, type PrefixPlan } from '../../src/engine/prefix/prefix-cache.ts';
import { blocksOf, hashOf, Memory, NaiveCache, prefixesOf } from './prefix-model.ts';

/** `blocks` blocks of tokens that say which prefix they are of, and `more` tokens behind them. */
const tokensOf = (seed: number, blocks: number, more = 1): number[] => Array.from({ length: 16 * blocks + more }, (_, i) => 1000 * seed + i);
const sequence = (...tokens: number[][]): Sequence => ({ tokens: Uint32Array.from(tokens.flat()) });

const empty = (plan: PrefixPlan): boolean => [plan.restores, plan.stores, plan.events.materialised, plan.events.evicted].every(({ length }) => length === 0);

describe('a prefix cache', () => {
  it('finds the whole blocks of a prefix that an earlier batch has computed', () => {
    const cache = new PrefixCache(10);
    const first = sequence(tokensOf(1, 3));
    expect(cache.plan([first]).cached).toEqual([0]);
    const plan = cache.plan([sequence(tokensOf(1, 2, 0), tokensOf(2, 3))]);
    expect(plan.cached).toEqual([32]);
    expect(plan.restores.length / 2).toBe(2);
    expect(plan.stores.length / 2).toBe(3);
    expect([...plan.events.materialised]).toEqual([...blockHashes(sequence(tokensOf(1, 2, 0), tokensOf(2, 3)).tokens).subarray(2)]);
    expect(cache.used).toBe(6);
  });

  it('finds nothing behind a token that is another, though the blocks behind it are the same', () => {
    const cache = new PrefixCache(10);
    cache.plan([sequence(tokensOf(1, 4))]);
    const other = tokensOf(1, 4).with(3, 7);
    expect(cache.plan([sequence(other)]).cached).toEqual([0]);
  });

  it.each([[32, 0, 16], [33, 0, 32], [33, 1, 32], [33, 2, 16], [64, 33, 16], [64, 64, 0]])('leaves what is asked for to compute: of %i tokens with %i scored, %i are taken', (length, scored, expected) => {
    const cache = new PrefixCache(10);
    const tokens = Uint32Array.from({ length }, (_, i) => i);
    cache.plan([{ tokens }]);
    const plan = cache.plan([{ tokens, scored }]);
    expect(plan.cached).toEqual([expected]);
    expect(plan.restores.length / 2).toBe(expected / 16);
    expect(plan.stores.length).toBe(0);
  });

  it('has the siblings of a batch share the blocks of the first of them, and restores a cached block once', () => {
    const cache = new PrefixCache(10);
    const siblings = [1, 2, 3, 4].map((seed) => sequence(tokensOf(9, 3, 0), tokensOf(seed, 0, 5)));
    const plan = cache.plan(siblings);
    expect(plan.cached).toEqual([0, 48, 48, 48]);
    expect(plan.blocks).toBe(3 + 4);
    expect(plan.stores.length / 2).toBe(3);
    const again = cache.plan(siblings);
    expect(again.cached).toEqual([48, 48, 48, 48]);
    expect(again.restores.length / 2).toBe(3);
    expect(again.blocks).toBe(3 + 4);
  });

  it('without a block of its own has siblings share all the same, and has nothing to copy or to tell', () => {
    const cache = new PrefixCache(0);
    const siblings = [1, 2].map((seed) => sequence(tokensOf(9, 3, 0), tokensOf(seed, 0, 5)));
    for (let pass = 0; pass < 2; pass++) {
      const plan = cache.plan(siblings);
      expect(plan.cached).toEqual([0, 48]);
      expect(empty(plan)).toBe(true);
    }
  });

  it('has siblings share what it has no room for', () => {
    const cache = new PrefixCache(1);
    const plan = cache.plan([1, 2].map((seed) => sequence(tokensOf(9, 3, 0), tokensOf(seed, 0, 5))));
    expect(plan.cached).toEqual([0, 48]);
    expect(plan.stores.length / 2).toBe(1);
    expect(cache.plan([sequence(tokensOf(9, 3))]).cached).toEqual([16]);
  });

  it('gives up the prefix that was not used for the longest time, its tail first', () => {
    const cache = new PrefixCache(6);
    const [a, b, c] = [sequence(tokensOf(1, 3)), sequence(tokensOf(2, 3)), sequence(tokensOf(3, 2))];
    cache.plan([a]);
    cache.plan([b]);
    cache.plan([a]);
    const { events } = cache.plan([c]);
    const hashes = blockHashes(b.tokens);
    expect([...events.evicted]).toEqual([hashes[2], hashes[1]]);
    expect([...events.materialised]).toEqual([...blockHashes(c.tokens)]);
    expect(cache.plan([b]).cached).toEqual([16]);
    expect(cache.plan([a]).cached).not.toEqual([0]);
  });

  it('never gives up what the batch being planned uses, although other sequences of it want room', () => {
    const cache = new PrefixCache(3);
    const old = sequence(tokensOf(1, 3));
    cache.plan([old]);
    const plan = cache.plan([sequence(tokensOf(2, 3)), old]);
    expect(plan.cached).toEqual([0, 48]);
    expect([plan.stores.length, plan.events.evicted.length]).toEqual([0, 0]);
  });

  it('believes nothing of a pass that was not recorded, and tells later what it evicted', () => {
    const cache = new PrefixCache(3);
    const [old, failed] = [sequence(tokensOf(1, 3)), sequence(tokensOf(2, 2))];
    cache.plan([old]);
    const plan = cache.plan([failed]);
    cache.forget(plan);
    expect(cache.used).toBe(1);
    const next = cache.plan([failed]);
    expect(next.cached).toEqual([0]);
    const hashes = blockHashes(old.tokens);
    expect([...next.events.evicted]).toEqual([hashes[2], hashes[1]]);
    expect([...next.events.materialised]).toEqual([...blockHashes(failed.tokens)]);
  });

  it('tells nothing of a block that left with a forgotten plan and came back with the next', () => {
    const cache = new PrefixCache(2);
    const old = sequence(tokensOf(1, 2));
    cache.plan([old]);
    cache.forget(cache.plan([sequence(tokensOf(2, 2))]));
    const { stores, events } = cache.plan([old]);
    expect(stores.length / 2).toBe(2);
    expect([events.materialised.length, events.evicted.length]).toEqual([0, 0]);
  });

  it('is as new when it is cleared', () => {
    const cache = new PrefixCache(4);
    const asked = sequence(tokensOf(1, 3));
    const first = cache.plan([asked]);
    cache.clear();
    expect(cache.used).toBe(0);
    const again = cache.plan([asked]);
    expect([again.cached, again.events]).toEqual([[0], first.events]);
  });

  it('tells prefixes with the same hash apart by their tokens', () => {
    const cache = new PrefixCache(12, { hash: (tokens) => new Float64Array(Math.floor(tokens.length / 16)).fill(1) });
    const [a, b] = [sequence(tokensOf(1, 3)), sequence(tokensOf(2, 3))];
    expect(cache.plan([a, b]).cached).toEqual([0, 0]);
    expect(cache.plan([b, a]).cached).toEqual([48, 48]);
    // The second block of a behind the first of b: the tokens of each block are known, but not one after the other.
    expect(cache.plan([sequence(tokensOf(2, 1, 0), tokensOf(1, 3).slice(16))]).cached).toEqual([16]);
  });
});

const families = 3;
/** Sequences that share prefixes often: blocks of one of a few families, cut anywhere, then perhaps something else. */
const anySequence = fc.record({ family: fc.nat(families - 1), kept: fc.nat(90), seed: fc.nat(2), more: fc.nat(40), scoredShare: fc.constantFrom(0, 0, 0, 0.2, 1) })
  .map(({ family, kept, seed, more, scoredShare }): Sequence => {
    const tokens = Uint32Array.from([...tokensOf(family, 0, kept), ...tokensOf(10 + seed, 0, more), 5]);
    return { tokens, scored: Math.floor(scoredShare * tokens.length) };
  });
const operation = fc.oneof(
  { weight: 8, arbitrary: fc.record({ batch: fc.array(anySequence, { minLength: 1, maxLength: 6 }), forgotten: fc.constantFrom(false, false, false, true) }) },
  { weight: 1, arbitrary: fc.constant('clear' as const) },
);

/** What somebody knows who was told of the cache's events. */
function tell(known: Set<number>, { events: { materialised, evicted } }: PrefixPlan): void {
  for (const hash of materialised) known.add(hash);
  for (const hash of evicted) known.delete(hash);
}

describe('any sequence of batches', () => {
  it('is planned as a naive cache plans it, every sequence finds its own prefix in its blocks, and events add up to the contents', () => {
    fc.assert(fc.property(fc.nat(14), fc.array(operation, { maxLength: 25 }), (blocks, operations) => {
      const cache = new PrefixCache(blocks);
      const naive = new NaiveCache(blocks);
      const memory = new Memory();
      const told = new Set<number>();
      for (const step of operations) {
        if (step === 'clear') {
          cache.clear();
          naive.contents = [];
          told.clear();
          continue;
        }
        const expected = naive.plan(step.batch);
        const plan = cache.plan(step.batch);
        expect(plan.cached).toEqual(expected.cached);
        const { restored, stored } = expected;
        expect(memory.run(step.batch, plan)).toEqual({ restored, stored, seen: step.batch.map(({ tokens }) => blocksOf(tokens)) });
        if (step.forgotten) {
          cache.forget(plan);
          naive.contents = naive.contents.filter((prefix) => !stored.includes(prefix));
        } else tell(told, plan);
        expect(cache.used).toBe(naive.contents.length);
      }
      tell(told, cache.plan([]));
      expect([...told].sort()).toEqual(naive.contents.map(hashOf).sort());
    }), { numRuns: 400 });
  });

  it('has the answers right whatever collides', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 14 }), fc.integer({ min: 1, max: 3 }), fc.array(operation, { maxLength: 12 }), (blocks, names, operations) => {
      const cache = new PrefixCache(blocks, { hash: (tokens) => blockHashes(tokens).map((hash) => hash % names) });
      const naive = new NaiveCache(blocks);
      const memory = new Memory();
      for (const step of operations) {
        if (step === 'clear') continue;
        const expected = naive.plan(step.batch);
        const plan = cache.plan(step.batch);
        expect(memory.run(step.batch, plan).seen).toEqual(step.batch.map(({ tokens }) => blocksOf(tokens)));
        expect(plan.cached).toEqual(expected.cached);
        for (const [i, sequenceOf] of step.batch.entries()) expect(sequenceOf.tokens.length - (plan.cached[i] as number)).toBeGreaterThanOrEqual(askedRows(sequenceOf));
      }
    }), { numRuns: 150 });
  });

  it('in one batch computes each distinct block once, unless it is asked for', () => {
    fc.assert(fc.property(fc.array(anySequence, { minLength: 1, maxLength: 12 }), (batch) => {
      const { cached, blocks } = new PrefixCache(0).plan(batch);
      const distinct = new Set(batch.flatMap(({ tokens }) => prefixesOf(tokens))).size;
      const partial = batch.filter(({ tokens }) => tokens.length % 16 !== 0).length;
      const seen = new Set<string>();
      let again = 0;
      for (const [i, { tokens }] of batch.entries()) {
        for (const [b, prefix] of prefixesOf(tokens).entries()) {
          if (seen.has(prefix) && 16 * b >= (cached[i] as number)) again++;
          seen.add(prefix);
        }
      }
      expect(blocks).toBe(distinct + partial + again);
    }));
  });
});
