import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createScheduler } from '../../src/serving/scheduler.ts';
import type { Routable, ScheduledBatch, Scheduler, SchedulerOptions } from '../../src/serving/scheduling.ts';
import { History, histories, settings } from './scheduler-model.ts';
import { decided, request, type Prompt } from './scheduler-requests.ts';

const NONE = { materialised: new Float64Array(), evicted: new Float64Array() };
/** A million a token: see `request`. */
const T = 100e6;

const make = (options: Partial<SchedulerOptions> = {}): Scheduler<Routable> =>
  createScheduler({ kind: 'grouped', engines: 1, threshold: T, batchTokens: 1e6, batchBlocks: 1e6, maxWaitMs: 50, cacheBlocks: 1000, seed: 1, ...options });

function addAll(scheduler: Scheduler<Routable>, prompts: readonly Partial<Prompt>[], first = 0): void {
  prompts.forEach((prompt, i) => scheduler.add(request(first + i, 0, prompt)));
}

/** A prompt of so many tokens, unlike any other. */
const plain = (tokens: number): Partial<Prompt> => ({ ownBlocks: Math.floor(tokens / 16), rest: tokens % 16 });
/** 4 blocks that a family shares, and 6 tokens of its own: 70 million FLOPs, or 6 + 32 million after another one. */
const sibling = (family: number): Partial<Prompt> => ({ family, sharedBlocks: 4, rest: 6 });
const many = <P>(count: number, of: () => P): P[] => Array.from({ length: count }, of);

/** Answers the oldest batch again and again until all have left, adding what comes before each round. @returns what left */
function runAll(scheduler: Scheduler<Routable>, coming: () => readonly Routable[] = () => []): ScheduledBatch<Routable>[] {
  const left: ScheduledBatch<Routable>[] = [];
  for (let answered = 0; answered < 1000; answered++) {
    for (const one of coming()) scheduler.add(one);
    left.push(...scheduler.round(0, true));
    const batch = left[answered];
    if (batch === undefined) return left;
    scheduler.finished(batch, NONE);
  }
  throw new Error('a thousand batches and no end');
}
const idsOf = (batches: readonly ScheduledBatch<Routable>[]): number[] => decided(batches).flatMap(([, ids]) => ids);

describe('grouped routing', () => {
  it('has the siblings of the head follow it, wherever they wait, and then the next head', () => {
    const scheduler = make();
    addAll(scheduler, [sibling(1), plain(90), sibling(2), plain(90), sibling(1), sibling(2), sibling(2)]);
    // 70 + 38; 90 + 70; 38 + 38 + 90 million.
    expect(decided(runAll(scheduler))).toEqual([[0, [0, 4]], [0, [1, 2]], [0, [5, 6, 3]]]);
  });

  it('goes on with what it claimed when the engine has room again, while another one takes the next heads', () => {
    const scheduler = make({ engines: 2, threshold: 60e6 });
    addAll(scheduler, [...many(6, () => sibling(1)), ...many(6, () => plain(60))]);
    const batches = scheduler.round(0);
    expect(decided(batches)).toEqual([[0, [0]], [1, [6]], [0, [1, 2]], [1, [7]]]);
    // Three that are claimed; what the other engine has in its next batch.
    expect([scheduler.load(0).fillingRequests, scheduler.load(1).fillingRequests]).toEqual([3, 1]);
    scheduler.finished(batches[1] as never, NONE);
    expect(decided(scheduler.round(0))).toEqual([[1, [8]]]);
    scheduler.finished(batches[0] as never, { ...NONE, materialised: batches[0]?.requests[0]?.hashes as Float64Array });
    expect(decided(scheduler.round(0))).toEqual([[0, [3, 4]]]);
  });

  it('claims whoever has most in common first, until eight batches of work are claimed', () => {
    const scheduler = make({ threshold: 40e6 });
    const distant = { family: 1, sharedBlocks: 2, ownBlocks: 2, rest: 6 };
    addAll(scheduler, [sibling(1), distant, ...many(20, () => sibling(1)), plain(90)]);
    // 320 / 38 = 8.4: nine of the close ones are claimed, the distant one is the next head.
    expect(idsOf(runAll(scheduler)).slice(0, 11)).toEqual([0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1]);
  });

  it.each([0, Infinity])('claims no more than the tokens of eight batches where T is %d', (threshold) => {
    const scheduler = make({ threshold, batchTokens: 70 });
    addAll(scheduler, [sibling(1), plain(60), ...many(200, () => sibling(1))]);
    // 560 / 6 = 93.3: ninety-four follow the first.
    expect(idsOf(runAll(scheduler)).indexOf(1)).toBe(1 + 94);
  });

  it('lets nobody who comes after a claim was made overtake others with it', () => {
    const scheduler = make({ threshold: 60e6 });
    addAll(scheduler, [sibling(1), sibling(1), sibling(1), plain(60), plain(60), plain(60)]);
    const later = [[], many(1, () => request(6, 0, sibling(1)))];
    expect(idsOf(runAll(scheduler, () => later.shift() ?? []))).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it('gives claims back when the queue is empty and an engine is idle', () => {
    const scheduler = make({ engines: 2, threshold: 60e6 });
    addAll(scheduler, many(3, () => sibling(1)));
    expect(decided(scheduler.round(0))).toEqual([[0, [0]], [1, [1]]]);
  });

  it('closes a batch that has no room for the next of its siblings, and keeps these', () => {
    const scheduler = make({ threshold: Infinity, batchTokens: 75 });
    addAll(scheduler, [sibling(1), plain(1), sibling(1), plain(1)]);
    expect(decided(runAll(scheduler))).toEqual([[0, [0]], [0, [2, 1, 3]]]);
  });

  it('puts what a lost engine had claimed back in its place, and takes a withdrawn one out of a claim', () => {
    const scheduler = make({ engines: 2, threshold: 60e6 });
    addAll(scheduler, [...many(6, () => sibling(1)), ...many(6, () => plain(60))]);
    scheduler.round(0);
    expect([scheduler.withdraw(4), scheduler.withdraw(4)]).toEqual([true, false]);
    expect(scheduler.load(0).fillingRequests).toBe(2);
    scheduler.lost(0);
    expect(scheduler.load(0).fillingRequests).toBe(0);
    scheduler.ready(0);
    expect(decided(scheduler.round(0))).toEqual([[0, [3]], [0, [5, 9]]]);
  });
});

describe('who waits for whom, whatever comes', () => {
  /** Histories of one engine on which nothing goes wrong, and what left in the order of routing. */
  const ordered = (check: (requests: readonly Routable[], options: SchedulerOptions) => void): void => fc.assert(
    fc.property(settings(['grouped']), histories, (chosen, events) => {
      const options = { ...chosen, engines: 1 };
      const history = new History(options, createScheduler<Routable>(options));
      for (const event of events) if (['add', 'round', 'answer'].includes(event.what)) history.run(event);
      history.finishAll();
      check(history.left.flatMap(({ requests }) => requests), options);
    }),
    { numRuns: 300 },
  );
  /** Somebody who came earlier leaves later. */
  const overtakes = (requests: readonly Routable[], at: number): boolean => requests.slice(at + 1).some(({ id }) => id < (requests[at] as Routable).id);

  it('a request is overtaken by siblings of older ones alone', () => {
    ordered((requests) => requests.forEach((one, at) => {
      const oldest = Math.min(Infinity, ...requests.slice(at + 1).map(({ id }) => id));
      if (oldest > one.id) return;
      expect(requests.slice(0, at).some(({ id, hashes }) => id < oldest && hashes[0] === one.hashes[0])).toBe(true);
    }));
  });

  it('the head of the queue is overtaken by eight batches of work at most, and the request that passes it', () => {
    ordered((requests, { threshold }) => {
      let [work, last] = [0, 0];
      requests.forEach(({ cacheable, flops }, at) => {
        [work, last] = overtakes(requests, at) ? [work + last, flops(cacheable * 16)] : [0, 0];
        // A claim has begun or goes on only below eight batches; T = 0 knows no FLOPs.
        expect(threshold === 0 || work === 0 || work < 8 * threshold).toBe(true);
      });
    });
  });

  it('requests without siblings are routed as by prefix', () => {
    fc.assert(
      fc.property(settings(['grouped']), histories, (options, events) => {
        const [ours, papers] = (['grouped', 'prefix'] as const).map((kind) => new History(options, createScheduler<Routable>({ ...options, kind }))) as [History, History];
        for (const event of events) {
          const alone = event.what === 'add' ? { ...event, prompts: event.prompts.map((prompt) => ({ ...prompt, sharedBlocks: 0, own: 0 })) } : event;
          expect(decided(ours.run(alone))).toEqual(decided(papers.run(alone)));
        }
      }),
      { numRuns: 150 },
    );
  });
});
