/** Random histories of a scheduler: what may happen to it, and engines' caches to answer with. */
import fc from 'fast-check';
import type { Routable, ScheduledBatch, Scheduler, SchedulerKind, SchedulerOptions } from '../../src/serving/scheduling.ts';
import { request, type Prompt } from './scheduler-requests.ts';

export type Happening =
  | { readonly what: 'add'; readonly prompts: readonly Prompt[] }
  | { readonly what: 'round'; readonly afterMs: number; readonly drain: boolean }
  | { readonly what: 'answer' | 'fail' | 'withdraw'; readonly pick: number }
  | { readonly what: 'lose' | 'ready'; readonly pick: number };

const prompts: fc.Arbitrary<Prompt> = fc.record({
  family: fc.nat(2), sharedBlocks: fc.nat(6), ownBlocks: fc.nat(8), own: fc.nat(2), rest: fc.nat(15), asked: fc.constantFrom(1, 1, 1, 20),
});

/** Round is what happens most; engines are lost seldom. */
const happening: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ what: fc.constant('add' as const), prompts: fc.array(prompts, { minLength: 1, maxLength: 6 }) }) },
  { weight: 8, arbitrary: fc.record({ what: fc.constant('round' as const), afterMs: fc.nat(30), drain: fc.nat(9).map((n) => n === 0) }) },
  { weight: 5, arbitrary: fc.record({ what: fc.constant('answer' as const), pick: fc.nat(1000) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constantFrom('fail' as const, 'withdraw' as const, 'lose' as const, 'ready' as const), pick: fc.nat(1000) }) },
);
export const histories: fc.Arbitrary<Happening[]> = fc.array(happening, { minLength: 5, maxLength: 60, size: 'max' });

/** @param engines how many; few, so that everything meets everything, when not given */
export const settings = (kinds: readonly SchedulerKind[], engines = fc.integer({ min: 1, max: 5 })): fc.Arbitrary<SchedulerOptions> =>
  fc.record({
    kind: fc.constantFrom(...kinds), engines, threshold: fc.constantFrom(0, 1, 3e8, 1e9, Infinity), batchTokens: fc.constantFrom(64, 300, 1e4),
    batchBlocks: fc.constantFrom(5, 20, 1000), maxWaitMs: fc.constantFrom(0, 20, 50), cacheBlocks: fc.constantFrom(0, 10, 200), seed: fc.nat(5),
  });

/** Runs a history: keeps the time, engines' caches (first in, first out) and what is under way. */
export class History {
  nowMs = 0;
  readonly accepted: Routable[] = [];
  readonly withdrawn: number[] = [];
  readonly answered: number[] = [];
  readonly underWay: ScheduledBatch<Routable>[] = [];
  readonly left: ScheduledBatch<Routable>[] = [];
  readonly caches: number[][];
  readonly #options: SchedulerOptions;
  readonly #scheduler: Scheduler<Routable>;

  constructor(options: SchedulerOptions, scheduler: Scheduler<Routable>) {
    this.#options = options;
    this.#scheduler = scheduler;
    this.caches = Array.from({ length: options.engines }, () => []);
  }

  /** @returns batches that left */
  run(event: Happening): ScheduledBatch<Routable>[] {
    const scheduler = this.#scheduler;
    if (event.what === 'add') for (const prompt of event.prompts) this.#add(prompt);
    else if (event.what === 'round') return this.round(event.afterMs, event.drain);
    else if (event.what === 'withdraw') this.#withdraw(event.pick % Math.max(1, this.accepted.length));
    else if (event.what === 'ready') scheduler.ready(event.pick % this.#options.engines);
    else if (event.what === 'lose') this.#lose(event.pick % this.#options.engines);
    else this.#finish(this.underWay[event.pick % Math.max(1, this.underWay.length)], event.what === 'answer');
    return [];
  }

  round(afterMs: number, drain = false): ScheduledBatch<Routable>[] {
    this.nowMs += afterMs;
    const batches = this.#scheduler.round(this.nowMs, drain);
    this.underWay.push(...batches);
    this.left.push(...batches);
    return batches;
  }

  /** Answers all and lets what waits leave, until nothing is left, and has caches evict everything. */
  finishAll(): void {
    for (let engine = 0; engine < this.#options.engines; engine++) this.#scheduler.ready(engine);
    for (let rounds = 0; this.round(1, true).length > 0 || this.underWay.length > 0; rounds++) {
      if (rounds > 10_000) throw new Error('requests are left that never leave');
      while (this.underWay.length > 0) this.#finish(this.underWay[0], true);
    }
  }

  #add(prompt: Prompt): void {
    const added = request(this.accepted.length, this.nowMs, prompt);
    this.accepted.push(added);
    this.#scheduler.add(added);
  }

  #withdraw(id: number): void {
    if (this.#scheduler.withdraw(id)) this.withdrawn.push(id);
  }

  #lose(engine: number): void {
    this.#scheduler.lost(engine);
    this.caches[engine] = [];
    for (const batch of this.underWay.filter((other) => other.engine === engine)) this.#finish(batch, false);
  }

  #finish(batch: ScheduledBatch<Routable> | undefined, answered: boolean): void {
    if (batch === undefined) return;
    this.underWay.splice(this.underWay.indexOf(batch), 1);
    if (!answered) {
      this.#scheduler.finished(batch);
      this.#scheduler.putBack(batch.requests);
      return;
    }
    this.answered.push(...batch.requests.map(({ id }) => id));
    const cache = this.caches[batch.engine] as number[];
    const materialised = [...new Set(batch.requests.flatMap(({ hashes }) => [...hashes]))].filter((hash) => !cache.includes(hash));
    cache.push(...materialised);
    const evicted = cache.splice(0, Math.max(0, cache.length - this.#options.cacheBlocks));
    this.#scheduler.finished(batch, { materialised: Float64Array.from(materialised), evicted: Float64Array.from(evicted) });
  }
}
