/**
 * `pp`: every rank has some consecutive layers; a pass goes through the ranks, and its rows travel from each to the next.
 *
 *     start of pass m on stage s = max(end of pass m - 1 on s, arrival of m's rows from s - 1)
 *
 * With M equal passes on P equal stages and a fast link, (P - 1) / (M + P - 1) of the time of every device is a bubble.
 *
 * With offload the experts of a stage come from its host memory layer by layer, in every pass anew.
 */
import { layerExpertBytes, layerFlops } from '../model/flops.ts';
import { splitLayers, type IndexRange } from '../model/shard.ts';
import type { ModelConfig } from '../model/types.ts';
import { packetBytes } from './collectives.ts';
import type { Extra } from './overheads.ts';
import { jointPassesOf, passShapeOf } from './passes.ts';
import type { RunShape, WorldShape } from './run-shape.ts';
import type { ComputePart, StepBuilder } from './steps.ts';
import { offloadLayers, OwnExperts } from './slot-feed.ts';
import { totalOf, Work, type Sequences } from './work.ts';

/** Tokens of the sequence by which layers are weighed against each other when they are split. */
const TYPICAL_TOKENS = 512;

/** Layers of each stage, of about the same cost. */
export function pipelineStages(config: ModelConfig, ranks: number): IndexRange[] {
  const last = config.numHiddenLayers - 1;
  const cost = (layer: number): number => totalOf(layerFlops(config, layer, { newTokens: TYPICAL_TOKENS }, layer === last));
  return splitLayers(config.layerIsMoe.map((_, layer) => cost(layer)), ranks);
}

/** One rank's layers. */
class StageRank {
  readonly #own: OwnExperts | null;
  /** Layers. */
  readonly #count: number;
  /** The last step of the pass before. */
  #last: number[] = [];

  constructor(private readonly steps: StepBuilder, shape: WorldShape, private readonly rank: number, { first, count }: IndexRange) {
    const { config, weightBytes } = shape;
    this.#count = count;
    const moe = config.layerIsMoe.flatMap((isMoe, layer) => (isMoe && layer >= first && layer < first + count ? [layer] : []));
    this.#own = offloadLayers(shape) === 0 ? null : new OwnExperts(steps, shape, rank, layerExpertBytes(config, weightBytes), moe);
  }

  /** Adds a pass. @param after arrival of its rows @param begin steps that the whole pass waits for @param moved rows that came and go @returns its last step */
  pass(pass: number, parts: readonly ComputePart[], { after, begin, moved }: { readonly after: readonly number[]; readonly begin: readonly number[]; readonly moved: Extra }): number {
    const layer = parts[0]?.layer ?? null;
    if (this.#own === null) return this.steps.compute(this.rank, parts.reduce((sum, { flops }) => sum + flops, 0), after, { pass, layer, parts }, { layers: this.#count, ...moved });
    this.#last = [...after, ...this.#last];
    for (const [index, part] of parts.entries()) {
      const place = { pass, layer: part.layer };
      const extra = { layers: part.layer === null ? 0 : 1, ...(index === 0 && moved) };
      this.#last = [this.steps.compute(this.rank, part.flops, [...this.#last, ...this.#own.ready(place, begin)], place, extra)];
      this.#own.done(part.layer, this.#last);
    }
    return this.#last[0] as number;
  }

  ahead(pass: number): void {
    this.#own?.ahead(pass);
  }
}

/** The stages of a model; passes are added one after another, when each is there. */
export class PipelineRanks {
  readonly #stages: readonly { readonly layers: IndexRange; readonly of: StageRank }[];

  constructor(private readonly steps: StepBuilder, private readonly shape: WorldShape) {
    this.#stages = pipelineStages(shape.config, shape.ranks).map((layers, rank) => ({ layers, of: new StageRank(steps, shape, rank, layers) }));
  }

  /** Adds a pass behind those before. @param after steps that it waits for @returns its last step */
  pass(pass: number, sequences: Sequences, after: readonly number[]): number {
    const { config: { hiddenSize }, wire } = this.shape;
    const work = new Work(this.shape.config, sequences);
    const rowBytes = work.tokens * packetBytes(hiddenSize, wire, 0);
    const last = this.#stages.length - 1;
    let before = after;
    for (const [rank, { layers, of }] of this.#stages.entries()) {
      const place = { pass, layer: layers.first, exchange: 'stage' as const };
      if (rank > 0) before = [this.steps.message(rank - 1, rank, rowBytes, before, place)];
      const ends = (rank > 0 ? 1 : 0) + (rank < last ? 1 : 0);
      const moved = { exchanges: ends / 2, messages: ends / 2, copiedBytes: ends * rowBytes };
      before = [of.pass(pass, this.#partsOf(work, layers), { after: before, begin: after, moved })];
      of.ahead(pass + 1);
    }
    return before[0] as number;
  }

  /** The head is with the last layer. */
  #partsOf(work: Work, { first, count }: IndexRange): ComputePart[] {
    const layers = Array.from({ length: count }, (_, i): ComputePart => ({ layer: first + i, flops: totalOf(work.flops(first + i)) }));
    return work.isLast(first + count - 1) ? [...layers, { layer: null, flops: work.headFlops(this.shape.candidates) }] : layers;
  }
}

/** Adds all steps of the run. */
export function addPipeline(steps: StepBuilder, shape: RunShape): void {
  const { inFlight = passShapeOf(shape).inFlight } = shape;
  const ranks = new PipelineRanks(steps, shape);
  const ends: number[] = [];
  for (const [pass, parts] of jointPassesOf(shape).entries()) {
    const free = ends[pass - inFlight];
    ends.push(ranks.pass(pass, parts.flat(), free === undefined ? [] : [free]));
  }
}
