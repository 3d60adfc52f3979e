/** AllGather and ReduceScatter of rows: every rank sees the rows of all, and gets the sum of what all have for its own. */
import { startsOf } from '../../model/shard.ts';
import { encodeRows, packetBytes, reduceRows, rowBytes } from '../../runtime/kernels/exchange.ts';
import type { Binding } from '../../runtime/recorder.ts';
import { rowStride } from '../layer.ts';
import type { SplitContext } from './context.ts';

/** Ranges of rows in `buffer` that are not this rank's: what travels. */
export function othersRows(buffer: GPUBuffer, starts: readonly number[], rank: number, bytes: number): { buffer: GPUBuffer; offset: number; bytes: number }[] {
  const [from, to, end] = [starts[rank] ?? 0, starts[rank + 1] ?? 0, starts.at(-1) ?? 0];
  return [{ buffer, offset: 0, bytes: from * bytes }, { buffer, offset: to * bytes, bytes: (end - to) * bytes }];
}

/** Where `rank`'s rows stand among those of {@link othersRows}. */
export function partOf(starts: readonly number[], rank: number, own: number, bytes: number): { offset: number; bytes: number } | null {
  if (rank === own) return null;
  const [from, to] = [starts[rank] ?? 0, starts[rank + 1] ?? 0];
  const skipped = rank > own ? (starts[own + 1] ?? 0) - (starts[own] ?? 0) : 0;
  return { offset: (from - skipped) * bytes, bytes: (to - from) * bytes };
}

/**
 * The packets in `sendRows` (this rank's rows) go to all; `recvRows` then holds those of all ranks, in order.
 * @param rows of each rank
 */
export async function gatherPackets(ctx: SplitContext, layer: number, rows: readonly number[], choices: number): Promise<void> {
  const { recorder, work, shape, config } = ctx;
  const bytes = packetBytes(config.hiddenSize, shape.wire, choices);
  const own = rows[shape.rank] ?? 0;
  const starts = startsOf(rows);
  const incoming = await ctx.swap('all-gather', layer, {
    rows: [{ buffer: work.sendRows, offset: 0, bytes: own * bytes }],
    parts: () => rows.map((_, rank) => (rank === shape.rank ? null : { offset: 0, bytes: own * bytes })),
  }, rows.map((count, rank) => (rank === shape.rank ? 0 : count * bytes)));
  if (own > 0) recorder.copy(work.sendRows, work.recvRows, own * bytes, 0, (starts[shape.rank] ?? 0) * bytes);
  for (const rank of rows.keys()) incoming.copy(rank, work.recvRows, (starts[rank] ?? 0) * bytes);
}

/**
 * x += the sum over all ranks of their `partial` rows of it.
 * @param rows of each rank; `partial` has those of all, in order
 * @param x this rank's rows
 */
export async function reducePartial(ctx: SplitContext, layer: number, rows: readonly number[], x: Binding): Promise<void> {
  const { gpu, recorder, work, shape, config } = ctx;
  const { hiddenSize: hidden } = config;
  const { rank: own, wire, world } = shape;
  const bytes = rowBytes(hidden, wire);
  const starts = startsOf(rows);
  const stride = rowStride(config);
  const mine = rows[own] ?? 0;
  encodeRows(gpu, recorder, { rows: starts.at(-1) ?? 0, hidden, stride, wire, from: work.partial, out: work.sendRows });
  const incoming = await ctx.swap('reduce-scatter', layer, {
    rows: othersRows(work.sendRows, starts, own, bytes),
    parts: () => rows.map((_, rank) => partOf(starts, rank, own, bytes)),
  }, rows.map((_, rank) => (rank === own ? 0 : mine * bytes)));
  if (mine === 0) return;
  recorder.copy(work.sendRows, work.recvRows, mine * bytes, (starts[own] ?? 0) * bytes, own * mine * bytes);
  for (const rank of rows.keys()) incoming.copy(rank, work.recvRows, rank * mine * bytes);
  reduceRows(gpu, recorder, { rows: mine, terms: world, hidden, stride, wire, from: work.recvRows, termStride: mine, x });
}
