/** A scheduler without choice: each engine gets its batches in a given order, two under way. */
import type { Routable, ScheduledBatch, Scheduler } from '../../src/serving/scheduling.ts';

/** @param batches of each engine, as ids of requests, all of which are there from the start */
export function fixedScheduler<R extends Routable>(batches: readonly (readonly (readonly number[])[])[]): Scheduler<R> {
  const requests = new Map<number, R>();
  const left = batches.map((own) => [...own]);
  const underWay = batches.map(() => 0);
  return {
    add: (request) => void requests.set(request.id, request),
    putBack: () => undefined,
    withdraw: () => false,
    round: () => left.flatMap((own, engine) => {
      const leaving: ScheduledBatch<R>[] = own.splice(0, 2 - (underWay[engine] as number)).map((ids) => ({
        engine, requests: ids.map((id) => requests.get(id) as R), flops: 0, tokens: 0, lastFlops: 0, saturated: false,
      }));
      (underWay[engine] as number) += leaving.length;
      return leaving;
    }),
    nextLeaveMs: () => Infinity,
    finished: ({ engine }) => void (underWay[engine] as number)--,
    lost: () => undefined,
    ready: () => undefined,
    load: () => ({ filling: 0, fillingRequests: 0, underWay: 0, committedBlocks: 0, pendingBlocks: 0 }),
    get waiting() {
      return sumOf(left);
    },
  };
}

const sumOf = (lists: readonly (readonly unknown[])[]): number => lists.reduce((sum, { length }) => sum + length, 0);
