/** Which sequences run in which pass, and on which rank: by the cluster's own rules. */
import { jointPasses, passShape, splitIntoBatches, type PassShape } from '../cluster/batching.ts';
import { hasOwnSequences, STRATEGY_KINDS, type RunShape } from './run-shape.ts';
import type { Sequences } from './work.ts';

type Lengths = Pick<RunShape, 'lengths' | 'batchTokens' | 'ranks'>;

/** The batches of ranks that run alone, heaviest first, as lengths. */
export const batchesOf = ({ lengths, batchTokens, ranks }: Lengths): Sequences[] =>
  splitIntoBatches(lengths, batchTokens, ranks).map((batch) => batch.map((index) => lengths[index] as number));

/** How the cluster forms passes in which all ranks take part. */
export function passShapeOf({ strategy, ranks, batchTokens, lengths, inFlight }: Lengths & Pick<RunShape, 'strategy' | 'inFlight'>): PassShape {
  const totalTokens = lengths.reduce((sum, length) => sum + length, 0);
  const kind = STRATEGY_KINDS[strategy] === 'pipeline' ? 'stages' : 'split';
  return passShape(kind, { ofAll: !hasOwnSequences(strategy), ranks, batchTokens, totalTokens, ...(inFlight !== undefined && { inFlight }) });
}

/** Passes in which all ranks take part, as lengths: the sequences of each rank, or one list of all. */
export const jointPassesOf = (shape: Lengths & Pick<RunShape, 'strategy' | 'inFlight'>): Sequences[][] =>
  jointPasses(shape.lengths, passShapeOf(shape)).map((parts) => parts.map((batch) => batch.map((index) => shape.lengths[index] as number)));

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
