import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EngineOrder } from '../../src/serving/engine-order.ts';
import { EngineSet } from '../../src/serving/engine-set.ts';

interface Place {
  readonly first: number;
  readonly second: number;
}

/** Few different numbers, so that many are equal. */
const step = fc.record({ engine: fc.nat(1000), place: fc.option(fc.record({ first: fc.nat(4), second: fc.nat(1) })) });
const fleet = fc.integer({ min: 1, max: 100 });

describe('engines in order', () => {
  it('have the first one that a sorted list has, of all and of some, whoever comes, moves and goes', () => {
    fc.assert(fc.property(fleet, fc.array(step, { maxLength: 60, size: 'max' }), fc.array(fc.nat(1000), { maxLength: 60 }), (engines, steps, picked) => {
      const order = new EngineOrder(engines);
      const model = new Map<number, Place>();
      for (const { engine: any, place } of steps) {
        const engine = any % engines;
        if (place === null) {
          order.delete(engine);
          model.delete(engine);
        } else {
          order.set(engine, place.first, place.second);
          model.set(engine, place);
        }
        const sorted = [...model].toSorted(([a, x], [b, y]) => x.first - y.first || x.second - y.second || a - b).map(([index]) => index);
        expect(order.best).toBe(sorted[0] ?? -1);
        const members = new EngineSet(engines);
        for (const one of picked) members.set(one % engines, true);
        expect(order.bestIn(members)).toBe(sorted.find((index) => members.has(index)) ?? -1);
        expect(sorted.filter((one, i) => i > 0 && (order.isBefore(one, sorted[i - 1] as number) || !order.isBefore(sorted[i - 1] as number, one)))).toEqual([]);
        const low = new EngineSet(engines);
        order.collect((first) => first <= 2, low);
        expect(low.members()).toEqual([...model].filter(([, { first }]) => first <= 2).map(([index]) => index).toSorted((a, b) => a - b));
      }
    }), { numRuns: 40 });
  });
});

describe('a set of engines', () => {
  it('has the members that a Set has, in order', () => {
    fc.assert(fc.property(fleet, fc.array(fc.record({ engine: fc.nat(1000), member: fc.boolean() }), { maxLength: 100 }), (engines, steps) => {
      const ours = new EngineSet(engines);
      const model = new Set<number>();
      for (const { engine: any, member } of steps) {
        const engine = any % engines;
        ours.set(engine, member);
        if (member) model.add(engine);
        else model.delete(engine);
      }
      expect(ours.members()).toEqual([...model].toSorted((a, b) => a - b));
      expect(ours.empty).toBe(model.size === 0);
      const all = Array.from({ length: engines }, (_, engine) => engine);
      expect(all.filter((engine) => ours.has(engine))).toEqual(all.filter((engine) => model.has(engine)));
      expect(ours.next(engines)).toBe(-1);
    }), { numRuns: 100 });
  });
});
