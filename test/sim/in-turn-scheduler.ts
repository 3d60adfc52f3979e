/** The simplest scheduler that keeps the contract: requests in order, engines in turn, a batch of so many requests. */
import type { Routable, ScheduledBatch, Scheduler } from '../../src/serving/scheduling.ts';

export function inTurnScheduler<R extends Routable>(engines: number, requestsPerBatch: number, threshold = 0): Scheduler<R> {
  const queue: R[] = [];
  const underWay = Array.from({ length: engines }, () => 0);
  let next = 0;

  const batchFor = (engine: number, requests: readonly R[]): ScheduledBatch<R> => {
    const loads = requests.map((request) => request.flops(0));
    const flops = loads.reduce((sum, load) => sum + load, 0);
    return {
      engine, requests, flops, tokens: requests.reduce((sum, { tokens }) => sum + tokens, 0), lastFlops: flops - (loads.at(-1) ?? 0), saturated: flops >= threshold,
    };
  };
  return {
    add: (request) => void queue.push(request),
    putBack: (requests) => void queue.unshift(...requests),
    withdraw: () => false,
    round(_nowMs, drain = false) {
      const batches: ScheduledBatch<R>[] = [];
      while ((drain ? queue.length > 0 : queue.length >= requestsPerBatch) && underWay[next] as number < 2) {
        batches.push(batchFor(next, queue.splice(0, requestsPerBatch)));
        (underWay[next] as number)++;
        next = (next + 1) % engines;
      }
      return batches;
    },
    nextLeaveMs: () => Infinity,
    finished: ({ engine }) => void (underWay[engine] as number)--,
    lost: () => undefined,
    ready: () => undefined,
    load: () => ({ filling: 0, fillingRequests: 0, underWay: 0, committedBlocks: 0, pendingBlocks: 0 }),
    get waiting() {
      return queue.length;
    },
  };
}
