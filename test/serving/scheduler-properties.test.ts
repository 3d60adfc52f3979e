import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createScheduler } from '../../src/serving/scheduler.ts';
import { SCHEDULERS, type Routable, type ScheduledBatch, type Scheduler } from '../../src/serving/scheduling.ts';
import { ReferenceScheduler } from './reference-scheduler.ts';
import { History, histories, settings } from './scheduler-model.ts';
import { decided } from './scheduler-requests.ts';

const GATHERING = ['prefix', 'grouped'] as const;
const RUNS = { numRuns: 150 };
const told = ({ requests, ...figures }: ScheduledBatch<Routable>): unknown => ({ ...figures, ids: requests.map(({ id }) => id) });
const state = (scheduler: Scheduler<Routable>, engines: number): unknown =>
  [scheduler.waiting, scheduler.nextLeaveMs(), engineNumbers(engines).map((engine) => scheduler.load(engine))];
const engineNumbers = (engines: number): number[] => Array.from({ length: engines }, (_, i) => i);

describe('a scheduler, whatever happens to it', () => {
  const FLEETS = [
    { name: 'few engines', engines: fc.integer({ min: 1, max: 5 }), runs: 150 },
    { name: 'more engines than a word has bits', engines: fc.integer({ min: 33, max: 70 }), runs: 40 },
  ];
  describe.each(FLEETS)('on $name', ({ engines, runs }) => {
    it.each(SCHEDULERS)('%s: decides as the naive reference does', (kind) => {
      fc.assert(
        fc.property(settings([kind], engines), histories, (options, events) => {
          const scheduler = createScheduler<Routable>(options);
          const reference = new ReferenceScheduler(options);
          const [ours, theirs] = [new History(options, scheduler), new History(options, reference)];
          for (const event of events) {
            expect([ours.run(event).map(told), state(scheduler, options.engines)]).toEqual([theirs.run(event).map(told), state(reference, options.engines)]);
          }
        }),
        { numRuns: runs },
      );
    });
  });

  it('has every request that was added be under way, be answered, be withdrawn or wait, one of these at a time, and leave in the end', () => {
    fc.assert(
      fc.property(settings(SCHEDULERS), histories, (options, events) => {
        const scheduler = createScheduler<Routable>(options);
        const history = new History(options, scheduler);
        for (const event of events) {
          history.run(event);
          const running = history.underWay.flatMap(({ requests }) => requests.map(({ id }) => id));
          const accounted = [...running, ...history.answered, ...history.withdrawn];
          expect(new Set(accounted).size).toBe(accounted.length);
          expect(scheduler.waiting + accounted.length).toBe(history.accepted.length);
        }
        history.finishAll();
        expect(scheduler.waiting).toBe(0);
        expect([...history.answered, ...history.withdrawn].sort((a, b) => a - b)).toEqual(history.accepted.map(({ id }) => id));
      }),
      RUNS,
    );
  });

  it('prefix and grouped: a saturated batch has a load in [T, T + its last request), whatever memory says', () => {
    fc.assert(
      fc.property(settings(GATHERING).filter(({ threshold }) => threshold > 0), histories, (options, events) => {
        const history = new History(options, createScheduler<Routable>(options));
        for (const event of events) history.run(event);
        history.finishAll();
        for (const { flops, lastFlops, saturated } of history.left) {
          expect(saturated).toBe(flops >= options.threshold);
          expect(flops - lastFlops).toBeLessThan(options.threshold);
        }
      }),
      RUNS,
    );
  });

  it('keeps batches within tokens and blocks, unless a request is alone', () => {
    fc.assert(
      fc.property(settings(SCHEDULERS), histories, (options, events) => {
        const history = new History(options, createScheduler<Routable>(options));
        for (const event of events) history.run(event);
        history.finishAll();
        for (const { requests, tokens } of history.left.filter((batch) => batch.requests.length > 1)) {
          expect(tokens).toBeLessThanOrEqual(options.batchTokens);
          // At least these are different: full blocks by hash, and every part of a block.
          const full = new Set(requests.flatMap(({ hashes }) => [...hashes])).size;
          expect(full + requests.filter((one) => one.tokens % 16 > 0).length).toBeLessThanOrEqual(options.batchBlocks);
        }
      }),
      RUNS,
    );
  });

  it('prefix, least-loaded and random: each engine gets its requests in the order in which they came', () => {
    fc.assert(
      fc.property(settings(['prefix', 'least-loaded', 'random']), histories, (options, events) => {
        const history = new History(options, createScheduler<Routable>(options));
        for (const event of events) if (!['fail', 'lose', 'withdraw'].includes(event.what)) history.run(event);
        history.finishAll();
        for (const engine of engineNumbers(options.engines)) {
          const ids = decided(history.left).flatMap(([index, list]) => (index === engine ? list : []));
          expect(ids).toEqual(ids.toSorted((a, b) => a - b));
        }
      }),
      RUNS,
    );
  });

  it('prefix and grouped: say when the next batch leaves, which then does and not before', () => {
    fc.assert(
      fc.property(settings(GATHERING), histories, (options, events) => {
        const scheduler = createScheduler<Routable>(options);
        const history = new History(options, scheduler);
        for (const event of events) history.run(event);
        history.round(0);
        const next = scheduler.nextLeaveMs();
        const waitMs = Math.min(next - history.nowMs, 1e9);
        expect(waitMs).toBeGreaterThan(0);
        expect(history.round(waitMs / 2)).toEqual([]);
        expect(history.round(waitMs / 2).length > 0).toBe(next < Infinity);
      }),
      RUNS,
    );
  });

  it('forgets everything when all is answered and the caches are lost', () => {
    fc.assert(
      fc.property(settings(SCHEDULERS), histories, (options, events) => {
        const scheduler = createScheduler<Routable>(options);
        const history = new History(options, scheduler);
        for (const event of events) history.run(event);
        history.finishAll();
        for (const engine of engineNumbers(options.engines)) {
          expect(scheduler.load(engine)).toEqual({ filling: 0, fillingRequests: 0, underWay: 0, pendingBlocks: 0, committedBlocks: history.caches[engine]?.length });
          scheduler.lost(engine);
          expect(scheduler.load(engine).committedBlocks).toBe(0);
        }
      }),
      RUNS,
    );
  });
});
