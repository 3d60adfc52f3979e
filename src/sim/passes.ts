/** Which sequences run in which pass, and on which rank: the cluster's own split. */
import { splitIntoBatches } from '../cluster/batching.ts';
import { hasOwnSequences, type RunShape } from './run-shape.ts';
import type { Sequences } from './work.ts';

/** The batches that the cluster makes, as lengths. */
export const batchesOf = ({ lengths, batchTokens }: Pick<RunShape, 'lengths' | 'batchTokens'>): Sequences[] =>
  splitIntoBatches(lengths, batchTokens).map((batch) => batch.map((index) => lengths[index] as number));

/**
 * Passes in which all ranks take part. Where ranks have their own sequences (`ep`, `dp-tp`), `ranks` batches make one pass, a batch
 * for each rank (the last pass may leave ranks without); elsewhere a batch is a pass, and the list has one part.
 */
export function jointPasses(shape: RunShape): Sequences[][] {
  const batches = batchesOf(shape);
  const parts = hasOwnSequences(shape.strategy) ? shape.ranks : 1;
  return Array.from({ length: Math.ceil(batches.length / parts) }, (_, pass) =>
    Array.from({ length: parts }, (__, part) => batches[pass * parts + part] ?? []));
}

/**
 * Batches of each rank where ranks run alone and take one after another as they get free. A rank has a second one waiting, except when no
 * more are left than there are ranks.
 * @param costMs of a batch on a rank
 */
export function takenInTurn(batches: readonly Sequences[], ranks: number, costMs: (batch: Sequences, rank: number) => number): Sequences[][] {
  const queue = [...batches];
  const taken: Sequences[][] = Array.from({ length: ranks }, () => []);
  const busyUntil = Array.from({ length: ranks }, () => 0);
  const lanes = [0, ranks].flatMap((leave) => Array.from({ length: ranks }, (_, rank) => ({ rank, leave, freeMs: 0 })));
  while (lanes.length > 0) {
    const lane = lanes.reduce((first, other) => (other.freeMs < first.freeMs ? other : first));
    const batch = queue.length > lane.leave ? queue.shift() : undefined;
    if (batch === undefined) {
      lanes.splice(lanes.indexOf(lane), 1);
      continue;
    }
    taken[lane.rank]?.push(batch);
    lane.freeMs = Math.max(lane.freeMs, busyUntil[lane.rank] as number) + costMs(batch, lane.rank);
    busyUntil[lane.rank] = lane.freeMs;
  }
  return taken;
}
