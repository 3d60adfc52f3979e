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
 * Who owns which row of a shared batch is the engine's own plan (row-plan.ts). A dense layer's MLP is computed by the owner of the row. A pass
 * longer than the engine's chunk goes through a layer in one piece here; the bytes are the same, the messages fewer.
 */
import { partitionExperts } from '../collective/partition.ts';
import { planOwnSequences, planSharedSequences, type ChunkRows } from '../engine/split/row-plan.ts';
import { splitHeads, splitWidth } from '../model/shard.ts';
import { allGather, dispatchRows, packetBytes, reduceScatter, rowsPerToken, transposed, type BytesMatrix } from './collectives.ts';
import { jointPassesOf, passShapeOf } from './passes.ts';
import { hasOwnSequences, type RunShape } from './run-shape.ts';
import type { Steps, StepPlace } from './schedule.ts';
import { totalOf, Work, type Sequences } from './work.ts';

/** Every rank computes, then bytes move. */
export interface Stage {
  /** FLOPs of each rank. */
  readonly flops: readonly number[];
  readonly bytes?: BytesMatrix;
}

/** The engine's chunks are of at most so many tokens. */
const CHUNK_TOKENS = 2048;

/** The work of one pass, as each rank sees it. */
class JointPass {
  readonly #parts: readonly Work[];
  readonly #all: Work;
  /** Rows of each rank: all tokens, and last tokens. */
  readonly #tokens: readonly number[];
  readonly #last: readonly number[];

  constructor(private readonly shape: RunShape, parts: readonly Sequences[]) {
    this.#parts = parts.map((part) => new Work(shape.config, part));
    this.#all = new Work(shape.config, parts.flat());
    const own = hasOwnSequences(shape.strategy);
    const chunks = own ? planOwnSequences(parts, CHUNK_TOKENS) : planSharedSequences(parts.flat(), CHUNK_TOKENS, shape.ranks);
    const rowsOf = (pick: (chunk: ChunkRows) => readonly number[]): number[] =>
      Array.from({ length: shape.ranks }, (_, rank) => chunks.reduce((sum, chunk) => sum + (pick(chunk)[rank] as number), 0));
    [this.#tokens, this.#last] = [rowsOf(({ tokens }) => tokens), rowsOf(({ last }) => last)];
  }

  #rows(layer: number): readonly number[] {
    return this.#all.isLast(layer) ? this.#last : this.#tokens;
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
      { flops: this.#tokens.map(() => 0), bytes: allGather(this.#tokens, row) },
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
    return { flops: this.#last.map((count) => (all * count) / Math.max(1, this.#all.sequences.length)) };
  }
}

/** What each rank's next step comes after. */
type Frontier = readonly (readonly number[])[];

function addStage(steps: Steps, { flops, bytes }: Stage, frontier: Frontier, place: StepPlace): Frontier {
  const computed = frontier.map((after, rank) => (flops[rank] === 0 ? after : [steps.compute(rank, flops[rank] as number, after, place)]));
  if (bytes === undefined) return computed;
  const next = computed.map((after) => [...after]);
  if (bytes.every((row) => row.every((part) => part === 0))) return next;
  const world = frontier.length;
  // In rounds, so that in each of them every rank sends to one and receives from one.
  for (let distance = 1; distance < world; distance++) {
    for (const [from, after] of computed.entries()) {
      const to = (from + distance) % world;
      next[to]?.push(steps.message(from, to, bytes[from]?.[to] as number, after, place)); // empty ones, too: they are waited for
    }
  }
  return next;
}

/** The stages of one layer of one pass. @internal for tests against formulas */
export const layerStages = (shape: RunShape, parts: readonly Sequences[], layer: number): Stage[] => new JointPass(shape, parts).stages(layer);

/** Adds all steps of the run. */
export function addExchanging(steps: Steps, shape: RunShape): void {
  const { config, ranks, inFlight = passShapeOf(shape).inFlight } = shape;
  const ends: number[][] = [];
  for (const [pass, parts] of jointPassesOf(shape).entries()) {
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

