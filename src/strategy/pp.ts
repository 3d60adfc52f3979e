/**
 * `pp`: layers split into stages (PP x PP, paper section 4). A stage sends its residual rows to the next one; several batches are under way at
 * a time, so that all stages have work but at the beginning and the end of a run.
 */
import { layerFlops } from '../model/flops.ts';
import { type IndexRange, shardLayers, splitLayers } from '../model/shard.ts';
import type { ModelConfig } from '../model/types.ts';
import type { StageStrategy } from './model-part.ts';

/** Tokens of the sequence by whose FLOPs layers are weighed: the last layer, of which most is left out, weighs less. */
const TYPICAL_TOKENS = 512;

const layerCost = (config: ModelConfig, layer: number): number =>
  Object.values(layerFlops(config, layer, { newTokens: TYPICAL_TOKENS }, layer === config.numHiddenLayers - 1)).reduce((sum, flops) => sum + flops, 0);

export const pp: StageStrategy = {
  kind: 'stages',
  part: (config, rank, world) => {
    const layers = splitLayers(config.layerIsMoe.map((_, layer) => layerCost(config, layer)), world)[rank] as IndexRange;
    return { view: (weights) => shardLayers(weights, layers), firstLayer: layers.first };
  },
};
