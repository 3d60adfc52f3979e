/**
 * `ep`, `dp-tp`, `tp-ep` and `tp`: all ranks go through a layer together, and rows travel between its halves.
 *
 * A layer is a list of stages: every rank computes, then rows are exchanged, and a rank goes on when everything sent to it is there. So the
 * slowest rank decides when the others go on. Several passes are under way at the same time; one computes while another's rows travel.
 *
 *     ep      own sequences' attention | dispatch | own experts | give back
 *     dp-tp   own sequences' attention | all-gather | own columns of all experts | reduce-scatter
 *     tp      all-gather | own heads | reduce-scatter, router of own rows | all-gather | own columns | reduce-scatter
 *     tp-ep   tp's first half, ep's second
 *
 * Rows of a shared batch belong to the ranks in equal runs. A dense layer's MLP is computed by the owner of the row.
 */
import { partitionExperts } from '../collective/partition.ts';
import { partition, splitHeads, splitWidth } from '../model/shard.ts';
import { allGather, dispatchRows, packetBytes, reduceScatter, rowsPerToken, transposed, type BytesMatrix } from './collectives.ts';
import { jointPasses } from './passes.ts';
import { hasOwnSequences, type RunShape } from './run-shape.ts';
import type { Steps, StepPlace } from './schedule.ts';
import { totalOf, Work, type Sequences } from './work.ts';

/** Every rank computes, then bytes move. */
export interface Stage {
  /** FLOPs of each rank. */
  readonly flops: readonly number[];
  readonly bytes?: BytesMatrix;
}

const IN_FLIGHT = 2;

/** The work of one pass, as each rank sees it. */
class JointPass {
  readonly #parts: readonly Work[];
  readonly #all: Work;

  constructor(private readonly shape: RunShape, parts: readonly Sequences[]) {
    this.#parts = parts.map((part) => new Work(shape.config, part));
    this.#all = new Work(shape.config, parts.flat());
  }

  get #ranks(): readonly number[] {
    return Array.from({ length: this.shape.ranks }, (_, rank) => rank);
  }

  /** `total` rows or sequences, in equal runs; or each rank's own. */
  #owned(own: (work: Work) => number): number[] {
    if (hasOwnSequences(this.shape.strategy)) return this.#parts.map(own);
    return partition(own(this.#all), this.shape.ranks).map(({ count }) => count);
  }

  #rows(layer: number): number[] {
    return this.#owned((work) => work.rows(layer));
  }

  /** Router (and a dense layer's MLP) of the rows that a rank owns. */
  #ownMlp(layer: number): number[] {
    const rows = this.#rows(layer);
    const { router, dense } = this.#all.flops(layer);
    const perRow = (router + dense) / Math.max(1, this.#all.rows(layer));
    return rows.map((count) => count * perRow);
  }

  #rowBytes(choices: number): number {
    return packetBytes(this.shape.config.hiddenSize, this.shape.wire, choices);
  }

  /** Attention of own sequences, up to the router. */
  #ownAttention(layer: number): number[] {
    return this.#parts.map((work) => totalOf({ ...work.flops(layer), experts: 0 }));
  }

  /** All sequences' attention with some of the heads. Keys and values of a head that ranks share are computed by each of them. */
  #headsAttention(layer: number): number[] {
    const { numAttentionHeads, numKeyValueHeads } = this.shape.config;
    const { projections, attention } = this.#all.flops(layer);
    const keyValue = this.#all.keyValueFlops();
    return splitHeads(this.shape.config, this.shape.ranks).map((heads) =>
      ((projections - keyValue + attention) * heads.query.count) / numAttentionHeads + (keyValue * heads.keyValue.count) / numKeyValueHeads);
  }

  #attentionByHeads(layer: number): Stage[] {
    const row = this.#rowBytes(0);
    return [
      { flops: this.#ranks.map(() => 0), bytes: allGather(this.#owned((work) => work.tokens), row) },
      { flops: this.#headsAttention(layer), bytes: reduceScatter(this.#rows(layer), row) },
    ];
  }

  #expertsByIndex(layer: number, before: readonly number[]): Stage[] {
    const { config: { numExperts, numExpertsPerTok: topK }, dispatch, ranks, expertShares } = this.shape;
    const owned = partitionExperts(numExperts, ranks).map(({ count }) => count);
    const shares = expertShares ?? owned.map((count) => count / numExperts);
    const rowsTo = owned.map((count, rank) => (dispatch === 'rank' ? rowsPerToken('rank', count, numExperts, topK) : topK * (shares[rank] as number)));
    const tokens = this.#rows(layer);
    const out = dispatchRows(tokens, rowsTo, this.#rowBytes(dispatch === 'rank' ? topK : 1));
    const back = transposed(dispatchRows(tokens, rowsTo, this.#rowBytes(0)));
    return [{ flops: before, bytes: out }, { flops: shares.map((share) => share * this.#all.flops(layer).experts), bytes: back }];
  }

  #expertsByColumns(layer: number, before: readonly number[]): Stage[] {
    const { config, ranks } = this.shape;
    const rows = this.#rows(layer);
    const flops = splitWidth(config, ranks).map(({ count }) => (this.#all.flops(layer).experts * count) / config.moeIntermediateSize);
    return [
      { flops: before, bytes: allGather(rows, this.#rowBytes(config.numExpertsPerTok)) },
      { flops, bytes: reduceScatter(rows, this.#rowBytes(0)) },
    ];
  }

  stages(layer: number): Stage[] {
    const { strategy, config } = this.shape;
    const byHeads = !hasOwnSequences(strategy);
    const attention = byHeads ? this.#attentionByHeads(layer) : [];
    const before = byHeads ? this.#ownMlp(layer) : this.#ownAttention(layer);
    if (config.layerIsMoe[layer] !== true) return [...attention, { flops: before }];
    const byIndex = strategy === 'ep' || strategy === 'tp-ep';
    return [...attention, ...(byIndex ? this.#expertsByIndex(layer, before) : this.#expertsByColumns(layer, before))];
  }

  head(): Stage {
    const all = this.#all.headFlops(this.shape.candidates);
    const sequences = this.#owned((work) => work.sequences.length);
    return { flops: sequences.map((count) => (all * count) / Math.max(1, this.#all.sequences.length)) };
  }
}

/** What each rank's next step comes after. */
type Frontier = readonly (readonly number[])[];

function addStage(steps: Steps, { flops, bytes }: Stage, frontier: Frontier, place: StepPlace): Frontier {
  const computed = frontier.map((after, rank) => (flops[rank] === 0 ? after : [steps.compute(rank, flops[rank] as number, after, place)]));
  if (bytes === undefined) return computed;
  const next = computed.map((after) => [...after]);
  const world = frontier.length;
  // In rounds, so that in each of them every rank sends to one and receives from one.
  for (let distance = 1; distance < world; distance++) {
    for (const [from, after] of computed.entries()) {
      const to = (from + distance) % world;
      const part = bytes[from]?.[to] as number;
      if (part > 0) next[to]?.push(steps.message(from, to, part, after, place));
    }
  }
  return next;
}

/** The stages of one layer of one pass. @internal for tests against formulas */
export const layerStages = (shape: RunShape, parts: readonly Sequences[], layer: number): Stage[] => new JointPass(shape, parts).stages(layer);

/** Adds all steps of the run. */
export function addExchanging(steps: Steps, shape: RunShape): void {
  const { config, ranks, inFlight = IN_FLIGHT } = shape;
  const ends: number[][] = [];
  for (const [pass, parts] of jointPasses(shape).entries()) {
    const joint = new JointPass(shape, parts);
    const begin = ends[pass - inFlight] ?? [];
    let frontier: Frontier = Array.from({ length: ranks }, () => begin);
    for (let layer = 0; layer < config.numHiddenLayers; layer++) {
      for (const stage of joint.stages(layer)) frontier = addStage(steps, stage, frontier, { pass, layer });
    }
    frontier = addStage(steps, joint.head(), frontier, { pass, layer: config.numHiddenLayers });
    ends.push([...new Set(frontier.flat())]);
  }
}

