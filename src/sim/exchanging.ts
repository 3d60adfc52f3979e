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
 *
 * With offload a rank's experts (or its columns of them) come from its host memory, a layer at a time, once for all passes of a *round*: those that are
 * under way together. A round begins on a rank when the one before it has ended there (strategy/shared-stream.ts).
 */
import { planOwnSequences, planSharedSequences, type ChunkRows } from '../engine/split/row-plan.ts';
import { expertWeightBytes } from '../model/flops.ts';
import { splitHeads, splitWidth } from '../model/shard.ts';
import type { ExchangeKind } from '../trace/exchange-names.ts';
import { allGather, dispatchRows, packetBytes, receivedBy, reduceScatter, rowsPerToken, sentBy, transposed, type BytesMatrix } from './collectives.ts';
import type { Extra } from './overheads.ts';
import { jointPassesOf, passShapeOf } from './passes.ts';
import { hasOwnSequences, type RunShape, type WorldShape } from './run-shape.ts';
import type { StepBuilder, StepPlace } from './steps.ts';
import { ownedWhole } from './shards.ts';
import { offloadLayers, OwnExperts } from './slot-feed.ts';
import { totalOf, Work, type Sequences } from './work.ts';

/** Every rank computes, then bytes move. */
export interface Stage {
  /** FLOPs of each rank. */
  readonly flops: readonly number[];
  readonly bytes?: BytesMatrix;
  /** What moves them. */
  readonly exchange?: ExchangeKind;
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

  constructor(private readonly shape: WorldShape, parts: readonly Sequences[]) {
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
      { flops: this.#tokens.map(() => 0), bytes: allGather(this.#tokens, row), exchange: 'all-gather' },
      { flops: this.#headsAttention(layer), bytes: reduceScatter(this.#rows(layer), row), exchange: 'reduce-scatter' },
    ];
  }

  #expertsByIndex(layer: number, before: readonly number[]): Stage[] {
    const { config: { numExperts, numExpertsPerTok: topK }, dispatch, ranks, expertShares } = this.shape;
    const owned = ownedWhole(numExperts, ranks);
    const shares = expertShares ?? owned.map((count) => count / numExperts);
    const rowsTo = owned.map((count, rank) => (dispatch === 'rank' ? rowsPerToken('rank', count, numExperts, topK) : topK * (shares[rank] as number)));
    const tokens = this.#rows(layer);
    const out = dispatchRows(tokens, rowsTo, this.#rowBytes(dispatch === 'rank' ? topK : 1));
    const back = transposed(dispatchRows(tokens, rowsTo, this.#rowBytes(0)));
    const flops = shares.map((share) => share * this.#all.flops(layer).experts);
    return [{ flops: before, bytes: out, exchange: 'dispatch' }, { flops, bytes: back, exchange: 'combine' }];
  }

  #expertsByColumns(layer: number, before: readonly number[]): Stage[] {
    const { config, ranks } = this.shape;
    const rows = this.#rows(layer);
    const flops = splitWidth(config, ranks).map(({ count }) => (this.#all.flops(layer).experts * count) / config.moeIntermediateSize);
    return [
      { flops: before, bytes: allGather(rows, this.#rowBytes(config.numExpertsPerTok)), exchange: 'all-gather' },
      { flops, bytes: reduceScatter(rows, this.#rowBytes(0)), exchange: 'reduce-scatter' },
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

/** @param layers how much of a layer the stage is */
function addStage(steps: StepBuilder, { flops, bytes, exchange }: Stage, frontier: Frontier, place: StepPlace, layers: number): Frontier {
  const computed = frontier.map((after, rank) => {
    const extra: Extra = { layers, ...(bytes && { exchanges: 1, messages: frontier.length - 1, copiedBytes: sentBy(bytes, rank) + receivedBy(bytes, rank) }) };
    return flops[rank] === 0 && steps.extraMs(extra) === 0 ? after : [steps.compute(rank, flops[rank] as number, after, place, extra)];
  });
  if (bytes === undefined) return computed;
  const next = computed.map((after) => [...after]);
  if (bytes.every((row) => row.every((part) => part === 0))) return next;
  const world = frontier.length;
  // In rounds, so that in each of them every rank sends to one and receives from one.
  for (let distance = 1; distance < world; distance++) {
    for (const [from, after] of computed.entries()) {
      const to = (from + distance) % world;
      next[to]?.push(steps.message(from, to, bytes[from]?.[to] as number, after, { ...place, ...(exchange && { exchange }) })); // empty ones, too: they are waited for
    }
  }
  return next;
}

/** The stages of one layer of one pass. @internal for tests against formulas */
export const layerStages = (shape: WorldShape, parts: readonly Sequences[], layer: number): Stage[] => new JointPass(shape, parts).stages(layer);

/** Bytes of a rank's part of one layer's experts. */
function ownLayerBytes({ config, ranks, strategy, weightBytes }: WorldShape, rank: number): number {
  const expert = expertWeightBytes(config, weightBytes);
  const byIndex = strategy === 'ep' || strategy === 'tp-ep';
  if (byIndex) return (ownedWhole(config.numExperts, ranks)[rank] as number) * expert;
  return (config.numExperts * expert * (splitWidth(config, ranks)[rank]?.count ?? 0)) / config.moeIntermediateSize;
}

/** A pass to be added. */
export interface NewPass {
  readonly pass: number;
  /** Sequences of each rank, or one list of all. */
  readonly parts: readonly Sequences[];
  /** Steps that it waits for. */
  readonly after: readonly number[];
}

/** A pass under way. */
interface Lane {
  readonly pass: number;
  readonly joint: JointPass;
  frontier: Frontier;
}

/** All ranks; passes are added one after another, when each is there. */
export class ExchangingRanks {
  /** With offload: the experts of each rank. */
  readonly #own: readonly OwnExperts[];
  readonly #firstMoe: number;
  /** Of the passes of the round before. */
  #ends: readonly Frontier[] = [];

  constructor(private readonly steps: StepBuilder, private readonly shape: WorldShape) {
    const { config, ranks } = shape;
    const moe = config.layerIsMoe.flatMap((isMoe, layer) => (isMoe ? [layer] : []));
    this.#firstMoe = moe[0] ?? Infinity;
    const count = offloadLayers(shape) > 0 ? ranks : 0;
    this.#own = Array.from({ length: count }, (_, rank) => new OwnExperts(steps, shape, rank, ownLayerBytes(shape, rank), moe));
  }

  /**
   * Adds passes behind those before; where own experts come from host memory, they come once for all of them.
   * @returns of each pass the last steps of each rank
   */
  round(passes: readonly NewPass[]): readonly Frontier[] {
    const { ranks, config: { numHiddenLayers } } = this.shape;
    const lanes = passes.map(({ pass, parts, after }): Lane => ({ pass, joint: new JointPass(this.shape, parts), frontier: Array.from({ length: ranks }, () => after) }));
    const begin = passes[0]?.after ?? [];
    for (let layer = 0; layer < numHiddenLayers; layer++) {
      if (layer === this.#firstMoe && this.#own.length > 0) this.#begin(lanes);
      this.#layer(lanes, layer, begin);
    }
    this.#ends = lanes.map(({ joint, pass, frontier }) => addStage(this.steps, joint.head(), frontier, { pass, layer: null }, 0));
    for (const experts of this.#own) experts.ahead((lanes.at(-1) as Lane).pass + 1);
    return this.#ends;
  }

  /** A rank's passes wait at their first MoE layer until those of the round before have ended there. */
  #begin(lanes: readonly Lane[]): void {
    for (const lane of lanes) lane.frontier = lane.frontier.map((after, rank) => [...after, ...this.#ends.flatMap((ended) => ended[rank] ?? [])]);
  }

  /** @param begin steps before which nobody knew of the round */
  #layer(lanes: readonly Lane[], layer: number, begin: readonly number[]): void {
    const ready = this.#own.map((experts) => experts.ready({ pass: (lanes[0] as Lane).pass, layer }, begin));
    for (const lane of lanes) {
      const place = { pass: lane.pass, layer };
      lane.frontier = lane.frontier.map((after, rank) => [...after, ...(ready[rank] ?? [])]);
      const stages = lane.joint.stages(layer);
      for (const stage of stages) lane.frontier = addStage(this.steps, stage, lane.frontier, place, 1 / stages.length);
    }
    for (const [rank, experts] of this.#own.entries()) experts.done(layer, lanes.flatMap(({ frontier }) => frontier[rank] ?? []));
  }
}

/** Adds all steps of the run. */
export function addExchanging(steps: StepBuilder, shape: RunShape): void {
  const { inFlight = passShapeOf(shape).inFlight } = shape;
  const ranks = new ExchangingRanks(steps, shape);
  const passes = jointPassesOf(shape);
  const together = offloadLayers(shape) > 0 ? inFlight : 1;
  const ends: Frontier[] = [];
  for (let first = 0; first < passes.length; first += together) {
    const round = passes.slice(first, first + together).map((parts, i): NewPass => ({ pass: first + i, parts, after: [...new Set(ends[first + i - inFlight]?.flat() ?? [])] }));
    ends.push(...ranks.round(round));
  }
}
