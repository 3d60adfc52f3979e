/**
 * `tp-ep`: heads split, experts by index (TP x EP, paper section 4). The residual stream is split by tokens between the blocks, so the one
 * AllReduce of a layer is an AllGather before its attention and a ReduceScatter behind it; then the two AllToAlls of `ep`.
 */
import { partitionExperts } from '../collective/partition.ts';
import { type HeadRange, shardHeads, splitHeads } from '../model/shard.ts';
import type { SplitStrategy } from './model-part.ts';

export const tpEp: SplitStrategy = {
  kind: 'split', attention: 'heads', experts: 'index',
  part: (config, rank, world) => {
    const heads = splitHeads(config, world)[rank] as HeadRange;
    return { view: (weights) => shardHeads(weights, heads), owned: partitionExperts(config.numExperts, world) };
  },
};
