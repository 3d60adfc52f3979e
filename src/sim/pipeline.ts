/**
 * `pp`: every rank has some consecutive layers; a pass goes through the ranks, and its rows travel from each to the next.
 *
 *     start of pass m on stage s = max(end of pass m - 1 on s, arrival of m's rows from s - 1)
 *
 * With M equal passes on P equal stages and a fast link, (P - 1) / (M + P - 1) of the time of every device is a bubble.
 */
import { layerFlops } from '../model/flops.ts';
import { splitLayers, type IndexRange } from '../model/shard.ts';
import type { ModelConfig } from '../model/types.ts';
import { packetBytes } from './collectives.ts';
import { jointPassesOf, passShapeOf } from './passes.ts';
import type { RunShape } from './run-shape.ts';
import type { Steps } from './schedule.ts';
import { totalOf, Work } from './work.ts';

/** Tokens of the sequence by which layers are weighed against each other when they are split. */
const TYPICAL_TOKENS = 512;

/** Layers of each stage, of about the same cost. */
export function pipelineStages(config: ModelConfig, ranks: number): IndexRange[] {
  const last = config.numHiddenLayers - 1;
  const cost = (layer: number): number => totalOf(layerFlops(config, layer, { newTokens: TYPICAL_TOKENS }, layer === last));
  return splitLayers(config.layerIsMoe.map((_, layer) => cost(layer)), ranks);
}

/** Adds all steps of the run. */
export function addPipeline(steps: Steps, shape: RunShape): void {
  const { config, ranks, wire, candidates, inFlight = passShapeOf(shape).inFlight } = shape;
  const stages = pipelineStages(config, ranks);
  const ends: number[] = [];
  for (const [pass, parts] of jointPassesOf(shape).entries()) {
    const work = new Work(config, parts.flat());
    const free = ends[pass - inFlight];
    let after = free === undefined ? [] : [free];
    for (const [rank, { first, count }] of stages.entries()) {
      if (rank > 0) after = [steps.message(rank - 1, rank, work.tokens * packetBytes(config.hiddenSize, wire, 0), after, { pass, layer: first })];
      let flops = rank === ranks - 1 ? work.headFlops(candidates) : 0;
      for (let layer = first; layer < first + count; layer++) flops += totalOf(work.flops(layer));
      after = [steps.compute(rank, flops, after, { pass, layer: first })];
    }
    ends.push(after[0] as number);
  }
}
