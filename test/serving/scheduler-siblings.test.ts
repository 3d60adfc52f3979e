import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Entry } from '../../src/serving/filling-batch.ts';
import { RequestQueue } from '../../src/serving/request-queue.ts';
import type { Routable } from '../../src/serving/scheduling.ts';
import { SiblingIndex } from '../../src/serving/sibling-index.ts';
import { commonDepth } from './reference-scheduler.ts';
import { request, type Prompt } from './scheduler-requests.ts';

const entry = (id: number, prompt: Partial<Prompt>, place = id): Entry<Routable> => ({ request: request(id, 0, prompt), place, matched: 0 });
const found = (index: SiblingIndex<Routable>, of: Partial<Prompt>): [number, number] | undefined => {
  const sibling = index.siblingOf(request(1000, 0, of));
  return sibling && [sibling.entry.request.id, sibling.depth];
};
/** So many blocks of a family, and one of its own. */
const shared = (family: number, sharedBlocks: number): Partial<Prompt> => ({ family, sharedBlocks, ownBlocks: 1 });

/** An index of a queue that has these. */
function indexOf(entries: readonly Entry<Routable>[]): { index: SiblingIndex<Routable>; queue: RequestQueue<Entry<Routable>> } {
  const [index, queue] = [new SiblingIndex<Routable>(), new RequestQueue<Entry<Routable>>()];
  queue.watch(index);
  for (const one of entries) queue.add(one);
  return { index, queue };
}

describe('an index of siblings', () => {
  it('finds who has most in common, by powers of two of blocks, and the first to have come among equals', () => {
    const { index } = indexOf([entry(0, shared(1, 2)), entry(1, shared(1, 9)), entry(2, shared(1, 11)), entry(3, shared(2, 20))]);
    expect(found(index, shared(1, 12))).toEqual([1, 8]);
    expect(found(index, shared(1, 3))).toEqual([0, 2]);
    expect(found(index, shared(2, 9))).toEqual([3, 8]);
    expect(found(index, shared(3, 9))).toBeUndefined();
  });

  it('takes nobody for a sibling whose common part saves less than an eighth of its FLOPs', () => {
    // A cached token costs half: 4 blocks save 2/16 of 16 blocks, and less than an eighth of 17.
    const template = (blocks: number): Partial<Prompt> => ({ family: 1, sharedBlocks: 4, ownBlocks: blocks - 4 });
    expect(found(indexOf([entry(0, template(17)), entry(1, template(16))]).index, template(300))).toEqual([1, 4]);
    expect(found(indexOf([entry(0, template(17))]).index, template(5))).toBeUndefined();
  });

  it('counts no block that may not be cached', () => {
    const { index } = indexOf([entry(0, { family: 1, sharedBlocks: 4, asked: 20 })]);
    expect(found(index, { family: 1, sharedBlocks: 4 })).toEqual([0, 2]);
    expect(found(indexOf([entry(0, { family: 1, sharedBlocks: 1 })]).index, { family: 1, sharedBlocks: 4 })).toBeUndefined();
  });

  it('has few entries of a long prompt, and none when everybody has left', () => {
    const { index, queue } = indexOf([entry(0, { family: 1, sharedBlocks: 8000 })]);
    expect(index.size).toBeLessThanOrEqual(1 + 4);
    queue.shift();
    expect(index.size).toBe(0);
  });
});

type Step = { readonly what: 'add'; readonly prompt: Partial<Prompt> } | { readonly what: 'shift' | 'remove' | 'putBack' | 'takeAll' | 'find'; readonly pick: number };
const steps: fc.Arbitrary<Step[]> = fc.array(fc.oneof(
  { weight: 4, arbitrary: fc.record({ what: fc.constant('add' as const), prompt: fc.record({ family: fc.nat(2), sharedBlocks: fc.nat(9), ownBlocks: fc.nat(9), own: fc.nat(2) }) }) },
  { weight: 5, arbitrary: fc.record({ what: fc.constantFrom('shift' as const, 'remove' as const, 'putBack' as const, 'find' as const), pick: fc.nat(1000) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('takeAll' as const), pick: fc.nat(1000) }) },
), { minLength: 10, maxLength: 120, size: 'max' });

/** A queue with an index beside a sorted list: does the same to both. */
class Pair {
  readonly #all: Entry<Routable>[] = [];
  readonly #queue = new RequestQueue<Entry<Routable>>();
  readonly #index = new SiblingIndex<Routable>();
  #list: Entry<Routable>[] = [];

  constructor() {
    this.#queue.watch(this.#index);
  }

  /** What the queue and what the list say to a step, and have after it. */
  run(step: Step): [ours: unknown, expected: unknown] {
    const [said, expected] = step.what === 'add' ? this.#add(step.prompt) : this.#other(step.what, this.#all[step.pick % Math.max(1, this.#all.length)]);
    return [[said, this.#queue.length, this.#queue.head, this.#queue.toArray()], [expected, this.#list.length, this.#list[0], this.#list]];
  }

  /** @returns what the index still has */
  empty(): number {
    for (const one of this.#list) this.#queue.remove(one);
    return this.#index.size;
  }

  #add(prompt: Partial<Prompt>): [unknown, unknown] {
    const one = entry(this.#all.length, prompt);
    this.#all.push(one);
    this.#list.push(one);
    return [this.#queue.add(one), undefined];
  }

  #other(what: Exclude<Step['what'], 'add'>, one: Entry<Routable> | undefined): [unknown, unknown] {
    if (what === 'shift') return [this.#queue.shift(), this.#list.shift()];
    if (what === 'takeAll') return [this.#queue.takeAll(), this.#list.splice(0)];
    if (one === undefined) return [undefined, undefined];
    if (what === 'find') return [this.#index.siblingOf(one.request)?.entry, walk(one.request, this.#list)];
    const there = this.#list.includes(one);
    if (what === 'remove') {
      this.#list = this.#list.filter((other) => other !== one);
      return [this.#queue.remove(one), there];
    }
    if (there) return [undefined, undefined];
    this.#list = [...this.#list, one].sort((x, y) => x.place - y.place);
    return [this.#queue.insert([one]), undefined];
  }
}

describe('a queue with an index, whatever is added, taken out and put back', () => {
  it('has the items of a sorted list, finds the siblings that a walk along it finds, and keeps nothing of who has left', () => {
    fc.assert(
      fc.property(steps, (events) => {
        const pair = new Pair();
        for (const event of events) {
          const [ours, expected] = pair.run(event);
          expect(ours).toEqual(expected);
        }
        expect(pair.empty()).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});

/** The deepest in common that is worth an eighth, the first in the list among equals. */
function walk(of: Routable, list: readonly Entry<Routable>[]): Entry<Routable> | undefined {
  const worth = list
    .map((one) => ({ one, depth: commonDepth(of, one.request) }))
    .filter(({ one: { request: { flops } }, depth }) => depth > 0 && flops(0) - flops(depth * 16) >= flops(0) / 8);
  const most = Math.max(...worth.map(({ depth }) => depth));
  return worth.find(({ depth }) => depth === most)?.one;
}
