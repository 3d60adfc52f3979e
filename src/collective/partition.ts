/** Which rank owns which experts. */
import { InputError } from '../errors.ts';
import { partition, type IndexRange } from '../model/shard.ts';

/** Experts [first, first + count) of every MoE layer. */
export type ExpertRange = IndexRange;

/** The most ranks one run may have. */
export const MAX_RANKS = 8;

/**
 * Splits experts 0..numExperts-1 over `world` ranks by index (paper section 2), contiguously; sizes differ by at most one,
 * the larger shards first.
 * @throws InputError when `world` is not in 1..8 or a rank would own no expert
 */
export function partitionExperts(numExperts: number, world: number): ExpertRange[] {
  if (!Number.isInteger(world) || world < 1 || world > MAX_RANKS) {
    throw new InputError('--ranks', '', `${world} ranks asked for; expected a whole number from 1 to ${MAX_RANKS}`);
  }
  if (world > numExperts) {
    throw new InputError('--ranks', '', `${world} ranks asked for, but the model has ${numExperts} experts a layer; each rank must own at least one`);
  }
  return partition(numExperts, world);
}
