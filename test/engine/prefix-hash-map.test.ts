import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HashMap } from '../../src/engine/prefix/hash-map.ts';
import { hashSlot } from '../../src/engine/prefix/hash-slot.ts';

/** Hashes of which many want the last slot of a small map, or the first. */
const crowded: number[] = [];
for (let hash = 0; crowded.length < 30; hash++) if ([0, 15].includes(hashSlot(hash) >>> 28)) crowded.push(hash);
const hash = fc.oneof(fc.constantFrom(...crowded), fc.nat(50).map((n) => n * 2 ** 45));
interface Step {
  readonly what: 'set' | 'delete' | 'clear';
  readonly hash: number;
  readonly value: number;
}
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ what: fc.constantFrom('set' as const, 'delete' as const), hash, value: fc.nat(1000) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('clear' as const), hash, value: fc.nat(1000) }) },
);

/** What setting it returned. */
function run(map: HashMap, { what, hash: key, value }: Step): number | undefined {
  if (what === 'set') return map.set(key, value);
  if (what === 'delete') map.delete(key);
  else map.clear();
  return undefined;
}

function runModel(model: Map<number, number>, { what, hash: key, value }: Step): number | undefined {
  const before = model.get(key) ?? -1;
  if (what === 'clear') model.clear();
  else if (what === 'delete') model.delete(key);
  else model.set(key, value);
  return what === 'set' ? before : undefined;
}

describe('numbers by block hash', () => {
  it('are kept as a Map keeps them', () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 200, size: 'max' }), fc.nat(40), (steps, expected) => {
      const ours = new HashMap(expected);
      const model = new Map<number, number>();
      for (const one of steps) expect(run(ours, one)).toBe(runModel(model, one));
      expect(ours.size).toBe(model.size);
      for (const key of [...crowded, ...Array.from({ length: 51 }, (_, n) => n * 2 ** 45)]) expect(ours.get(key)).toBe(model.get(key) ?? -1);
    }), { numRuns: 200 });
  });

  it('may be many more than were expected', () => {
    const map = new HashMap(3);
    for (let i = 0; i < 20_000; i++) map.set(i * 12_345_678_901, i);
    expect(map.size).toBe(20_000);
    for (let i = 0; i < 20_000; i++) expect(map.get(i * 12_345_678_901)).toBe(i);
    expect(map.get(1)).toBe(-1);
  });
});
