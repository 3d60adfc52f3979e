/** Experts of a layer that each rank owns. */
import { InputError } from '../errors.ts';
import { partition } from '../model/shard.ts';

/** Whole experts, as even as can be (paper section 2); equal parts by bytes where there are more ranks than experts, which no real engine has. */
export const ownedExperts = (numExperts: number, ranks: number): number[] =>
  (ranks > numExperts ? Array.from({ length: ranks }, () => numExperts / ranks) : partition(numExperts, ranks).map(({ count }) => count));

/** @throws InputError where a rank would own no whole expert */
export function ownedWhole(numExperts: number, ranks: number): number[] {
  if (ranks > numExperts) throw new InputError('--ranks', '', `${ranks} ranks asked for, but the model has ${numExperts} experts a layer; each rank must own at least one`);
  return ownedExperts(numExperts, ranks);
}
