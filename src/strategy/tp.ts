/**
 * `tp`: heads and the width of every expert split (TP x TP, paper section 4): two AllReduces a layer, each as an AllGather before the block
 * and a ReduceScatter behind it, with the residual stream split by tokens in between.
 */
import { type HeadRange, type IndexRange, shardHeads, shardWidth, splitHeads, splitWidth } from '../model/shard.ts';
import type { SplitStrategy } from './model-part.ts';

export const tp: SplitStrategy = {
  kind: 'split', attention: 'heads', experts: 'width',
  part: (config, rank, world) => {
    const heads = splitHeads(config, world)[rank] as HeadRange;
    const columns = splitWidth(config, world)[rank] as IndexRange;
    return { view: (weights) => shardWidth(shardHeads(weights, heads), columns) };
  },
};
