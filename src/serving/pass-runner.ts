/** Runs a batch on an engine and gives every request its part of the answer; a request that no engine can run takes nobody with it. */
import type { EnginePool, PassAnswer } from '../cluster/engine-pool.ts';
import { NO_CACHE_EVENTS, type CacheEvents } from '../engine/prefix/cache-events.ts';
import { InputError, RankError } from '../errors.ts';
import type { Job } from './job.ts';
import { cutAnswers, packWork } from './pass-work.ts';
import type { ServedPass } from './service.ts';

export interface RunnerHooks {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Told of each pass before its requests are answered. @param allFlops of its requests when nothing is cached */
  passed(pass: ServedPass, allFlops: number): void;
}

export class PassRunner {
  constructor(private readonly pool: Pick<EnginePool, 'pass'>, private readonly threshold: number, private readonly hooks: RunnerHooks) {}

  /**
   * One pass; where the engine refuses the batch, each half in turn, and so on: who is refused alone fails. A refusal costs no pass.
   * @param plannedFlops what the scheduler reckoned
   * @returns what the cache has and has no more
   * @throws what `pass` throws, but for an InputError
   */
  async run(engine: number, jobs: readonly Job[], plannedFlops: number): Promise<CacheEvents> {
    const requests = jobs.map(({ request }) => request);
    const work = packWork(requests);
    const sentMs = this.hooks.now();
    let answer: PassAnswer;
    try {
      answer = await this.pool.pass(engine, work);
    } catch (error) {
      if (error instanceof RankError) for (const job of jobs) job.lostPasses++;
      if (!(error instanceof InputError)) throw error;
      if (jobs.length > 1) return this.#apart(engine, jobs);
      jobs[0]?.reject(error);
      return NO_CACHE_EVENTS;
    }
    const endedMs = this.hooks.now();
    const startMs = Math.min(Math.max(sentMs, answer.stats.startEpochMs), endedMs);
    this.hooks.passed(servedPass(engine, jobs, { answer, plannedFlops, endedMs, threshold: this.threshold }), sumOf(jobs, ({ allFlops }) => allFlops));
    cutAnswers(requests, work, answer).forEach(({ logits, scores, cachedTokens }, i) => {
      const job = jobs[i] as Job;
      job.resolve({ logits, scores, cachedTokens, engine, queuedMs: Math.max(0, startMs - job.arrivedMs), computeMs: endedMs - startMs });
    });
    return answer.cache;
  }

  async #apart(engine: number, jobs: readonly Job[]): Promise<CacheEvents> {
    const middle = jobs.length >> 1;
    const present = new Map<number, boolean>();
    for (const half of [jobs.slice(0, middle), jobs.slice(middle)]) {
      const open = half.filter((job) => job.open);
      if (open.length === 0) continue;
      const events = await this.run(engine, open, sumOf(open, ({ allFlops }) => allFlops));
      for (const hash of events.materialised) present.set(hash, true);
      for (const hash of events.evicted) present.set(hash, false);
    }
    const blocks = [...present];
    return {
      materialised: Float64Array.from(blocks.filter(([, there]) => there), ([hash]) => hash),
      evicted: Float64Array.from(blocks.filter(([, there]) => !there), ([hash]) => hash),
    };
  }
}

interface Ended {
  readonly answer: PassAnswer;
  readonly plannedFlops: number;
  readonly endedMs: number;
  readonly threshold: number;
}

function servedPass(engine: number, jobs: readonly Job[], { answer, plannedFlops, endedMs, threshold }: Ended): ServedPass {
  const { stats, cachedTokens } = answer;
  return {
    engine, requests: jobs.length, promptTokens: sumOf(jobs, ({ tokens }) => tokens), cachedTokens: sumOf(cachedTokens, (tokens) => tokens),
    plannedFlops, stats, fill: threshold === 0 ? 1 : stats.flops / threshold, endedMs,
  };
}

const sumOf = <T>(list: readonly T[], of: (item: T) => number): number => list.reduce((sum, item) => sum + of(item), 0);
