/** The experts of a checkpoint as a shard: fetched and packed each time they are read. */
import type { ShardReader } from '../collective/transport.ts';
import { expertLayout, packExpert } from '../engine/index.ts';
import type { ModelWeights } from '../model/types.ts';
import type { PackedDtype } from '../runtime/layout.ts';

/**
 * All experts, owned by rank 0 of a world of one. A server packs once and moves bytes from then on; here any static server will do, and what
 * comes is packed on its way into staging memory. Nothing is kept: see {@link HttpFolderOptions.cache} for what a browser may keep.
 */
export function expertReader(weights: ModelWeights, dtype: PackedDtype): ShardReader {
  const layout = expertLayout(weights.config, dtype);
  const { expertBytes } = layout;
  return {
    rank: 0,
    range: { first: 0, count: weights.config.numExperts },
    read: async (layer, first, count, into) => {
      // Asked for together, so that experts that lie side by side are one request.
      const experts = await Promise.all(Array.from({ length: count }, (_, e) => weights.expert(layer, first + e)));
      for (const [e, expert] of experts.entries()) packExpert(expert, layout, into.subarray(e * expertBytes, (e + 1) * expertBytes));
    },
    close: async () => undefined,
  };
}
