import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { createScheduler } from '../../src/serving/scheduler.ts';
import { SCHEDULERS, type Routable, type Scheduler, type SchedulerKind, type SchedulerOptions } from '../../src/serving/scheduling.ts';
import { decided, request, type Prompt } from './scheduler-requests.ts';

const NONE = { materialised: new Float64Array(), evicted: new Float64Array() };
/** A million a token: see `request`. */
const T = 100e6;

function make(kind: SchedulerKind, options: Partial<SchedulerOptions> = {}): Scheduler<Routable> {
  return createScheduler({ kind, engines: 2, threshold: T, batchTokens: 1e6, batchBlocks: 1e6, maxWaitMs: 50, cacheBlocks: 1000, seed: 1, ...options });
}

/** Adds requests with ids from `first`, all at one time. */
function addAll(scheduler: Scheduler<Routable>, prompts: readonly Partial<Prompt>[], first = 0, nowMs = 0): Routable[] {
  const requests = prompts.map((prompt, i) => request(first + i, nowMs, prompt));
  for (const one of requests) scheduler.add(one);
  return requests;
}

/** A prompt of so many tokens, unlike any other. */
const plain = (tokens: number): Partial<Prompt> => ({ ownBlocks: Math.floor(tokens / 16), rest: tokens % 16 });
/** 4 blocks that a family shares, and 6 tokens of its own: 70 million FLOPs, or 6 + 32 million after another one. */
const sibling = (family: number): Partial<Prompt> => ({ family, sharedBlocks: 4, rest: 6 });

describe('prefix routing', () => {
  it('sends siblings to one engine and reckons their common prefix once', () => {
    const scheduler = make('prefix', { threshold: 1e9 });
    addAll(scheduler, [sibling(1), sibling(2), sibling(1), sibling(2)]);
    expect(scheduler.round(0)).toEqual([]);
    expect([scheduler.load(0), scheduler.load(1)].map(({ filling, pendingBlocks }) => [filling, pendingBlocks])).toEqual([[108e6, 4], [108e6, 4]]);
    const batches = scheduler.round(0, true);
    expect(decided(batches)).toEqual([[0, [0, 2]], [1, [1, 3]]]);
    expect(batches.map(({ tokens, flops, lastFlops }) => [tokens, flops, lastFlops])).toEqual([[76, 108e6, 38e6], [76, 108e6, 38e6]]);
  });

  it('spills a hot prefix over to the next engine once the first one is saturated', () => {
    const scheduler = make('prefix', { engines: 3, threshold: 108e6 });
    addAll(scheduler, Array.from({ length: 5 }, () => sibling(1)));
    // Two siblings have 70 + 38 = 108 million.
    expect(decided(scheduler.round(0))).toEqual([[0, [0, 1]], [1, [2, 3]]]);
    expect(scheduler.load(2).filling).toBe(70e6);
  });

  it('tells of each decision, with the blocks that count as cached there', () => {
    const told: (number | null)[][] = [];
    const scheduler = make('prefix', { threshold: 108e6, onRoute: (...decision) => void told.push(decision) });
    addAll(scheduler, [sibling(1), plain(10), sibling(1), sibling(1)]);
    scheduler.round(0);
    expect(told).toEqual([[0, 0, 0], [1, 1, 0], [2, 0, 4], [3, 1, 0]]);
  });

  it('follows what engines say that they have and have no more', () => {
    const scheduler = make('prefix');
    const [first] = addAll(scheduler, [sibling(1)]) as [Routable];
    const [batch] = scheduler.round(0, true);
    scheduler.finished(batch as never, { ...NONE, materialised: first.hashes });
    expect(scheduler.load(0)).toEqual({ filling: 0, fillingRequests: 0, underWay: 0, committedBlocks: 4, pendingBlocks: 0 });
    addAll(scheduler, [plain(10), sibling(1)], 1);
    scheduler.round(0);
    expect([scheduler.load(0).filling, scheduler.load(1).filling]).toEqual([10e6 + 38e6, 0]);
    const [second] = scheduler.round(0, true);
    scheduler.finished(second as never, { ...NONE, evicted: first.hashes.slice(2) });
    addAll(scheduler, [sibling(1)], 3);
    expect(scheduler.round(0, true)[0]?.tokens).toBe(70 - 32);
  });

  it('believes no cache to hold more than it can', () => {
    const scheduler = make('prefix', { engines: 1, cacheBlocks: 3 });
    const [first] = addAll(scheduler, [sibling(1)]) as [Routable];
    scheduler.finished(scheduler.round(0, true)[0] as never, { ...NONE, materialised: first.hashes });
    expect(scheduler.load(0).committedBlocks).toBe(3);
    addAll(scheduler, [sibling(1)], 1);
    expect(scheduler.round(0, true)[0]?.tokens).toBe(70 - 48);
  });

  it('takes no more for cached than may be: what is asked for is computed', () => {
    const scheduler = make('prefix', { engines: 1, threshold: Infinity });
    addAll(scheduler, [{ sharedBlocks: 4 }, { sharedBlocks: 4 }, { sharedBlocks: 4, asked: 20 }]);
    expect(scheduler.round(0, true)[0]?.tokens).toBe(64 + 16 + 32);
  });

  it('gives a request without a match to the smallest load, and to the engine with fewer batches under way among equal ones', () => {
    const scheduler = make('prefix');
    addAll(scheduler, [plain(20), plain(10), plain(15)]);
    const batches = scheduler.round(0, true);
    expect(decided(batches)).toEqual([[0, [0]], [1, [1, 2]]]);
    scheduler.finished(batches[1] as never, NONE);
    addAll(scheduler, [plain(30)], 3);
    expect(decided(scheduler.round(0, true))).toEqual([[1, [3]]]);
  });

  it('holds a batch back until its oldest request has waited long enough, or nothing more will come', () => {
    const scheduler = make('prefix', { engines: 1 });
    addAll(scheduler, [plain(10)], 0, 100);
    expect(scheduler.round(100)).toEqual([]);
    addAll(scheduler, [plain(10)], 1, 140);
    expect(scheduler.round(149)).toEqual([]);
    expect(scheduler.nextLeaveMs()).toBe(150);
    expect(decided(scheduler.round(150))).toEqual([[0, [0, 1]]]);
    expect(scheduler.nextLeaveMs()).toBe(Infinity);
    addAll(scheduler, [plain(10)], 2, 150);
    expect(decided(scheduler.round(151, true))).toEqual([[0, [2]]]);
  });

  it('has two batches of an engine under way at most, and fills the next one up to T meanwhile', () => {
    const scheduler = make('prefix', { engines: 1 });
    addAll(scheduler, Array.from({ length: 8 }, () => plain(60)));
    const batches = scheduler.round(0);
    expect(decided(batches)).toEqual([[0, [0, 1]], [0, [2, 3]]]);
    expect([scheduler.load(0).filling, scheduler.waiting, scheduler.nextLeaveMs()]).toEqual([120e6, 4, Infinity]);
    expect(scheduler.round(1000, true)).toEqual([]);
    scheduler.finished(batches[0] as never, NONE);
    expect(decided(scheduler.round(1000))).toEqual([[0, [4, 5]]]);
  });

  it('without a threshold sends what there is to idle engines, and to busy ones what is full or has waited', () => {
    const scheduler = make('prefix', { engines: 1, threshold: 0, batchTokens: 100 });
    addAll(scheduler, Array.from({ length: 3 }, () => plain(40)));
    // The third does not fit beside two, and the engine is busy with these by then.
    expect(decided(scheduler.round(0))).toEqual([[0, [0, 1]]]);
    expect(scheduler.nextLeaveMs()).toBe(50);
    addAll(scheduler, [plain(40), plain(40)], 3);
    expect(decided(scheduler.round(1))).toEqual([[0, [2, 3]]]);
  });
});

describe('memory', () => {
  it('counts blocks that requests of a batch share once', () => {
    // 5 blocks each, 4 of them shared: 5 + 1 + 1 = 7.
    const scheduler = make('prefix', { engines: 1, threshold: Infinity, batchBlocks: 7 });
    addAll(scheduler, Array.from({ length: 4 }, () => sibling(1)));
    expect(decided(scheduler.round(0))).toEqual([[0, [0, 1, 2]]]);
  });

  it('lets a request that is longer than a batch may be go alone, and those behind it after it', () => {
    const scheduler = make('prefix', { engines: 1, threshold: Infinity, batchTokens: 100 });
    addAll(scheduler, [plain(30), plain(500), plain(30), plain(30)]);
    const batches = scheduler.round(0);
    expect(decided(batches)).toEqual([[0, [0]], [0, [1]]]);
    expect(scheduler.load(0).fillingRequests).toBe(2);
  });

  it('has an engine that must refuse a request leave with what it has, and gives the request to the next best with room', () => {
    const scheduler = make('prefix', { threshold: Infinity, batchTokens: 120 });
    addAll(scheduler, [sibling(1), plain(1), { ...sibling(1), ownBlocks: 3 }]);
    // Engine 0 has 64 of its 118 tokens, but 70 + 54 are too many; 1 + 118 are not.
    expect(decided(scheduler.round(0))).toEqual([[0, [0]]]);
    expect([scheduler.load(0).fillingRequests, scheduler.load(1).fillingRequests]).toEqual([0, 2]);
  });

  it('has one batch make room for a request that fits nowhere', () => {
    const scheduler = make('prefix', { threshold: Infinity, batchTokens: 100 });
    addAll(scheduler, [plain(60), plain(70), plain(80), plain(10)]);
    expect(decided(scheduler.round(0))).toEqual([[0, [0]]]);
    expect(decided(scheduler.round(50))).toEqual([[0, [2]], [1, [1, 3]]]);
  });
});

describe('what goes wrong', () => {
  it('puts requests of a lost engine back in their places and gives it nothing until it is ready', () => {
    const scheduler = make('prefix', { threshold: 60e6 });
    addAll(scheduler, Array.from({ length: 12 }, () => plain(30)));
    const batches = scheduler.round(0);
    expect(decided(batches)).toEqual([[0, [0, 2]], [1, [1, 3]], [0, [4, 6]], [1, [5, 7]]]);
    expect([scheduler.load(0).fillingRequests, scheduler.load(1).fillingRequests]).toEqual([2, 2]);
    scheduler.lost(0);
    scheduler.putBack([...(batches[0]?.requests ?? []), ...(batches[2]?.requests ?? [])]);
    scheduler.finished(batches[0] as never, { ...NONE, materialised: Float64Array.of(1) });
    expect(scheduler.load(0)).toEqual({ filling: 0, fillingRequests: 0, underWay: 0, committedBlocks: 0, pendingBlocks: 0 });
    for (const batch of [batches[1], batches[3]]) scheduler.finished(batch as never, NONE);
    expect(decided(scheduler.round(0))).toEqual([[1, [9, 11]], [1, [0, 2]]]);
    scheduler.ready(0);
    expect(decided(scheduler.round(0))).toEqual([[0, [8, 10]]]);
  });

  it('takes a withdrawn request out, and its promises with it', () => {
    const scheduler = make('prefix', { engines: 1, threshold: 1e9 });
    addAll(scheduler, [sibling(1), { ...sibling(1), rest: 5 }]);
    scheduler.round(0);
    expect([scheduler.withdraw(0), scheduler.withdraw(0), scheduler.withdraw(7)]).toEqual([true, false, false]);
    expect([scheduler.waiting, scheduler.load(0).pendingBlocks]).toEqual([1, 0]);
    const [batch] = scheduler.round(0, true);
    expect([batch?.requests.map(({ id }) => id), batch?.tokens]).toEqual([[1], 69]);
    expect(scheduler.withdraw(1)).toBe(false);
  });

  it('refuses more engines than the table has bits for, and limits that are no numbers', () => {
    expect(() => make('prefix', { engines: 4097 })).toThrow(new InputError('scheduler', 'engines', '4097; expected 1 to 4096'));
    expect(() => make('random', { batchTokens: NaN })).toThrow(new InputError('scheduler', 'batchTokens', 'NaN; expected a number that is not negative'));
  });

  it.each(SCHEDULERS)('%s: refuses a request that is waiting already', (kind) => {
    const scheduler = make(kind);
    addAll(scheduler, [plain(5)]);
    expect(() => addAll(scheduler, [plain(5)])).toThrow('request 0 is waiting already');
  });
});

describe('baselines', () => {
  it('least-loaded: the smallest waiting * 4 + running, the lowest index among equals, whatever is cached', () => {
    const scheduler = make('least-loaded', { batchTokens: 70 });
    addAll(scheduler, Array.from({ length: 4 }, () => sibling(1)));
    expect(decided(scheduler.round(0))).toEqual([[0, [0]], [1, [1]], [0, [2]], [1, [3]]]);
    addAll(scheduler, Array.from({ length: 3 }, () => plain(10)), 4);
    expect(scheduler.round(0, true)).toEqual([]);
    expect([scheduler.load(0).fillingRequests, scheduler.load(1).fillingRequests]).toEqual([2, 1]);
  });

  it('tell of a request that joins an engine\'s own queue, and of what goes from there into a batch', () => {
    const told: (number | null)[][] = [];
    const scheduler = make('least-loaded', { engines: 1, batchTokens: 70, onRoute: (...decision) => void told.push(decision) });
    addAll(scheduler, [sibling(1), sibling(1)]);
    scheduler.round(0);
    expect(told).toEqual([[0, 0, null], [1, 0, null], [0, 0, 0], [1, 0, 4]]);
  });

  it('sends a batch as soon as an engine has room, however small', () => {
    for (const kind of ['least-loaded', 'shortest-prefill-first', 'random'] as const) {
      const scheduler = make(kind, { threshold: 1e12 });
      addAll(scheduler, [plain(1)]);
      expect(scheduler.round(0).map(({ requests, saturated }) => [requests.length, saturated])).toEqual([[1, false]]);
      expect(scheduler.nextLeaveMs()).toBe(Infinity);
    }
  });

  it('shortest-prefill-first: the fewest tokens to compute first, by what is resident when the batch is formed', () => {
    const scheduler = make('shortest-prefill-first', { engines: 1, batchTokens: 70 });
    const [, profile] = addAll(scheduler, [plain(60), sibling(1)]) as [Routable, Routable];
    const underWay = scheduler.round(0);
    expect(decided(underWay)).toEqual([[0, [0]], [0, [1]]]);
    addAll(scheduler, [plain(60), plain(40), { ...sibling(1), ownBlocks: 1 }], 2);
    scheduler.finished(underWay[1] as never, { ...NONE, materialised: profile.hashes });
    // 86 tokens, of which 64 are resident by now: 22 to compute.
    expect(decided(scheduler.round(0))).toEqual([[0, [4, 3]]]);
  });

  it('shortest-prefill-first: lets waiting make up for length, 500 tokens a second', () => {
    const scheduler = make('shortest-prefill-first', { engines: 1, batchTokens: 400 });
    addAll(scheduler, [plain(400), plain(400)]);
    const underWay = scheduler.round(0);
    addAll(scheduler, [plain(400)], 2, 0);
    addAll(scheduler, [plain(150)], 3, 490);
    addAll(scheduler, [plain(150)], 4, 510);
    scheduler.finished(underWay[0] as never, NONE);
    expect(decided(scheduler.round(510))).toEqual([[0, [3]]]);
    scheduler.finished(underWay[1] as never, NONE);
    expect(decided(scheduler.round(510))).toEqual([[0, [2]]]);
  });

  it('random: uses all engines, and the same seed the same ones', () => {
    const run = (seed: number): number[] => {
      const scheduler = make('random', { engines: 4, seed });
      addAll(scheduler, Array.from({ length: 100 }, () => plain(1)));
      return scheduler.round(0).map(({ requests }) => requests.length);
    };
    expect(run(1)).toHaveLength(4);
    expect(Math.min(...run(1))).toBeGreaterThan(10);
    expect(run(1)).toEqual(run(1));
    expect(run(1)).not.toEqual(run(2));
  });
});
