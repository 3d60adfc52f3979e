/**
 * `dp-tp`: attention data parallel, the width of every expert split (DP x TP, paper section 4). In every MoE layer an AllGather brings the tokens
 * of all ranks to each, and a ReduceScatter returns the sums of the columns' shares.
 */
import { type IndexRange, shardWidth, splitWidth } from '../model/shard.ts';
import type { SplitStrategy } from './model-part.ts';

export const dpTp: SplitStrategy = {
  kind: 'split', attention: 'data', experts: 'width',
  part: (config, rank, world) => {
    const columns = splitWidth(config, world)[rank] as IndexRange;
    return { view: (weights) => shardWidth(weights, columns) };
  },
};
