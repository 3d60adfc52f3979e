/** The experts of a layer where ranks share them: by index (dispatch and combine) or by width (gather and reduce). */
import { startsOf, type IndexRange } from '../../model/shard.ts';
import { dispatchPlan, encodeRows, packetBytes, packRows, reduceRows, rowBytes, unpackRows } from '../../runtime/kernels/exchange.ts';
import { expertOperands, normForExperts, pairFlops, recordGrouped, route, rowStride, type ExpertSource, type RowSet } from '../layer.ts';
import type { DeviceLayer } from '../weights.ts';
import type { SplitContext } from './context.ts';
import { gatherPackets, othersRows, partOf, reducePartial } from './scatter.ts';

/** A set of rows on every rank, on its way through a layer. */
export interface SplitRows {
  readonly index: number;
  readonly layer: DeviceLayer;
  /** This rank's rows. */
  readonly set: RowSet;
  /** How many rows each rank has. */
  readonly rows: readonly number[];
}

/** x += MoE(norm(x)) for the rows of all ranks. */
export async function recordSplitExperts(ctx: SplitContext, op: SplitRows, source: ExpertSource): Promise<void> {
  if (op.rows.every((count) => count === 0)) return;
  const { numExperts, numExpertsPerTok } = ctx.config;
  normForExperts(ctx, op.set, op.layer);
  route(ctx, op.layer, op.set.rows, numExperts, numExpertsPerTok);
  await (ctx.shape.experts === 'index' ? byIndex(ctx, op, source) : byWidth(ctx, op, source));
}

/** Packets of all rows to all ranks, all experts on some columns there, sums of the columns' shares back. */
async function byWidth(ctx: SplitContext, { index, layer, set, rows }: SplitRows, source: ExpertSource): Promise<void> {
  const { gpu, recorder, work, shape, config } = ctx;
  const { numExpertsPerTok: choices, numExperts: experts, hiddenSize: hidden } = config;
  const type = expertOperands(ctx, layer);
  packRows(gpu, recorder, {
    maxRows: set.rows, unitsPerToken: 1, choices, hidden, wire: shape.wire, source: work.aExperts, sourceType: type, ids: work.ids, weights: work.weights, out: work.sendRows,
  });
  await gatherPackets(ctx, index, rows, choices);
  const all = startsOf(rows).at(-1) ?? 0;
  received(ctx, { rows: all, type, owned: { first: 0, count: experts } }, source, experts);
  ctx.count(pairFlops(all * choices, source.layout));
  ctx.counts.expertRows += all * choices;
  await reducePartial(ctx, index, rows, set.x);
}

interface Received {
  readonly rows: number;
  readonly type: 'f32' | 'f16';
  readonly owned: IndexRange;
}

/** The packets in `recvRows` through their experts here, into `partial`. */
function received(ctx: SplitContext, { rows, type, owned }: Received, source: ExpertSource, buckets: number): void {
  if (rows === 0) return;
  const { gpu, recorder, work, shape, config } = ctx;
  unpackRows(gpu, recorder, {
    rows, hidden: config.hiddenSize, wire: shape.wire, choices: source.topK, packets: work.recvRows, out: work.aReceived, outType: type,
    ids: work.idsReceived, weights: work.weightsReceived, firstExpert: owned.first, experts: owned.count,
  });
  recordGrouped(ctx, source, { rows, a: work.aReceived, aType: type, ids: work.idsReceived, weights: work.weightsReceived, buckets, out: work.partial, assign: true });
}

/** Rows of the plan for each rank, from the starts on the device (see `dispatchPlan`: the own rank's come last). */
function countsFromStarts(starts: Uint32Array, rank: number, world: number): number[] {
  return Array.from({ length: world }, (_, to) => (to === rank ? (starts[world] ?? 0) : (starts[(to + 1) % world] ?? 0)) - (starts[to] ?? 0));
}

/** Packets to the ranks that have a token's experts, sums over its experts there back, added up here. */
async function byIndex(ctx: SplitContext, op: SplitRows, source: ExpertSource): Promise<void> {
  const { gpu, recorder, work, shape, config } = ctx;
  const { rank: own, world, wire, choices, unitsPerToken, owned } = shape;
  const { hiddenSize: hidden } = config;
  const type = expertOperands(ctx, op.layer);
  const units = op.set.rows * unitsPerToken;
  const packet = packetBytes(hidden, wire, choices);
  const row = rowBytes(hidden, wire);
  if (units > 0) {
    dispatchPlan(gpu, recorder, {
      units, choices, world, ownRank: own, ids: work.ids, owners: ctx.owners, counts: work.destCounts, starts: work.destStarts, rowOf: work.rowOf, unitOf: work.unitOf,
    });
    packRows(gpu, recorder, {
      maxRows: units * Math.min(world, choices), unitOf: work.unitOf, total: work.destStarts, totalIndex: world, unitsPerToken, choices, hidden, wire,
      source: work.aExperts, sourceType: type, ids: work.ids, weights: work.weights, out: work.sendRows,
    });
  }
  const dispatched = await ctx.swap('dispatch', op.index, {
    ...(units > 0 && { header: { buffer: work.destStarts, words: world + 1 } }),
    rows: [{ buffer: work.sendRows, offset: 0, bytes: units * Math.min(world - 1, choices) * packet }],
    parts: (starts) => countsFromStarts(starts, own, world).map((count, rank) => (rank === own ? null : { offset: (starts[rank] ?? 0) * packet, bytes: count * packet })),
  }, op.rows.map((count, rank) => (rank === own ? 0 : count * unitsPerToken * packet)));

  const sentStarts = dispatched.header;
  const sent = countsFromStarts(sentStarts, own, world);
  const came = dispatched.lengths.map((bytes, rank) => (rank === own ? (sent[own] ?? 0) : bytes / packet));
  const starts = startsOf(came);
  const all = starts.at(-1) ?? 0;
  if ((sent[own] ?? 0) > 0) recorder.copy(work.sendRows, work.recvRows, (sent[own] ?? 0) * packet, (sentStarts[own] ?? 0) * packet, (starts[own] ?? 0) * packet);
  for (const rank of came.keys()) dispatched.copy(rank, work.recvRows, (starts[rank] ?? 0) * packet);
  const mine = owned[own] as IndexRange;
  received(ctx, { rows: all, type, owned: mine }, source, mine.count + 1);
  encodeRows(gpu, recorder, { rows: all, hidden, stride: rowStride(config), wire, from: work.partial, out: work.sendRows });

  const combined = await ctx.swap('combine', op.index, {
    ...(all > 0 && { header: { buffer: work.counts, words: mine.count } }),
    rows: othersRows(work.sendRows, starts, own, row),
    parts: () => came.map((_, rank) => partOf(starts, rank, own, row)),
  }, sent.map((count, rank) => (rank === own ? 0 : count * row)));
  const pairs = combined.header.reduce((sum, count) => sum + count, 0);
  ctx.count(pairFlops(pairs, source.layout));
  ctx.counts.expertRows += pairs;
  if (units === 0) return;
  if ((sent[own] ?? 0) > 0) recorder.copy(work.sendRows, work.recvRows, (sent[own] ?? 0) * row, (starts[own] ?? 0) * row, (sentStarts[own] ?? 0) * row);
  for (const rank of came.keys()) combined.copy(rank, work.recvRows, (sentStarts[rank] ?? 0) * row);
  reduceRows(gpu, recorder, { rows: op.set.rows, terms: unitsPerToken * world, hidden, stride: rowStride(config), wire, from: work.recvRows, rowOf: work.rowOf, x: op.set.x });
}
