/**
 * `ep`: attention data parallel, experts by index (DP x EP, paper section 4). In every MoE layer each token travels to the ranks that have its
 * experts, and their weighted sums travel back: two AllToAlls, on the path of the pass.
 */
import { partitionExperts } from '../collective/partition.ts';
import { wholeModel, type SplitStrategy } from './model-part.ts';

export const ep: SplitStrategy = {
  kind: 'split', attention: 'data', experts: 'index',
  part: ({ numExperts }, _rank, world) => ({ view: wholeModel, owned: partitionExperts(numExperts, world) }),
};
