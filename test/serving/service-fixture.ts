/** A service over fake engines and the simplest scheduler, and prompts for it. */
import { vi } from 'vitest';
import { createService, type ServiceOptions } from '../../src/serving/live-service.ts';
import type { ServingAnswer, ServingRequest } from '../../src/serving/requests.ts';
import { saturate, type Saturation } from '../../src/serving/saturation.ts';
import type { Routable, SchedulerOptions } from '../../src/serving/scheduling.ts';
import type { Service } from '../../src/serving/service.ts';
import { smallConfig } from '../sim/small-config.ts';
import { fakeLogits, FakePool, type FakePoolOptions } from './fake-pool.ts';
import { PlainScheduler } from './plain-scheduler.ts';

export const config = smallConfig();

/** T is `flops`: one layer, gathered in a second at so many FLOP/s. */
export const thresholdOf = (flops: number): Saturation => saturate({
  engines: [{ gatherMs: flops === 0 ? 0 : 1000, peakFlopsPerSecond: Math.max(1, flops), measuredFlopsPerSecond: 1 }], moeLayers: 1, mode: 'peak', gamma: 1, largestBatch: { tokens: 1, flops: 1 },
});

export interface Started {
  readonly pool: FakePool;
  readonly service: Service;
  readonly scheduler: PlainScheduler<Routable>;
}

/** @param threshold T in FLOPs; 0 by default, so that nothing waits for more */
export function start(pool: Partial<FakePoolOptions> = {}, { threshold = 0, ...options }: Partial<ServiceOptions> & { threshold?: number } = {}): Started {
  const fake = new FakePool({ config, engines: 1, ...pool });
  const made: PlainScheduler<Routable>[] = [];
  const service = createService({
    pool: fake, config, saturation: thresholdOf(threshold), scheduler: 'prefix', batchTokens: 4096, maxWaitMs: 50, maxWaiting: 2000,
    createScheduler: <R extends Routable>(options: SchedulerOptions) => {
      const scheduler = new PlainScheduler<R>(options);
      made.push(scheduler as unknown as PlainScheduler<Routable>);
      return scheduler;
    },
    ...options,
  });
  return { pool: fake, service, scheduler: made[0] as PlainScheduler<Routable> };
}

export const prompt = (...tokens: number[]): Uint32Array => Uint32Array.from(tokens);
export const asking = (first: number, changes: Partial<ServingRequest> = {}): ServingRequest => ({ tokens: prompt(first, 2, 3), candidates: [5, 6], ...changes });

export interface Watched {
  answer?: ServingAnswer;
  error?: Error;
}

/** What has become of a promise; empty before it is settled. */
export function watch(promise: Promise<ServingAnswer>): Watched {
  const watched: Watched = {};
  promise.then((answer) => { watched.answer = answer; }, (error: Error) => { watched.error = error; });
  return watched;
}

/** What {@link watch} shows of a request that was answered rightly. */
export const rightAnswer = ({ tokens, candidates }: ServingRequest) => ({ answer: { logits: Float32Array.from(fakeLogits(tokens, candidates)) } });

/** So much later on the fake clock. */
export const after = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

/** First tokens of the prompts of each pass. */
export const passesOf = ({ given }: FakePool): number[][] => given.map(({ work }) => work.sequences.map(({ tokens }) => tokens[0] as number));
