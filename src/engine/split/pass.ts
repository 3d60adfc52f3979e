/** One batch through all layers of a model that ranks split, as one of them records it. */
import { gatherRows } from '../../runtime/kernels/rows.ts';
import { padTo } from '../../runtime/layout.ts';
import type { Chunk, PackedBatch } from '../batch.ts';
import { keysSeen } from '../keys-seen.ts';
import type { ExpertLayout } from '../expert-layout.ts';
import { normForAttention, recordAttention, recordExperts, recordKeysValues, recordLastAttend, rowStride, slice, slotExperts } from '../layer.ts';
import { denseExperts, recordEmbedding, residualRows } from '../pass-parts.ts';
import type { SlotStream } from '../slot-stream.ts';
import type { DeviceLayer, DeviceWeights } from '../weights.ts';
import { recordSplitAttention, recordSplitLastAttention } from './attention.ts';
import type { SplitContext } from './context.ts';
import { recordSplitExperts } from './experts.ts';
import type { ChunkRows } from './row-plan.ts';

/** Rows of residuals begin at multiples of 8: what a binding may begin at, whatever the hidden size. */
const ROW_ALIGN = 8;

/** A batch, and which of its rows are this rank's. */
export interface OwnedBatch {
  readonly packed: PackedBatch;
  readonly chunks: readonly ChunkRows[];
  /** Rows of the residual stream from one chunk's to the next one's. */
  readonly chunkStride: number;
  /** Where the last tokens of each chunk that are this rank's begin in `xLast`. */
  readonly lastStarts: readonly number[];
  /** Rows of `xLast`, gaps included. */
  readonly lastRows: number;
  /** Heads split: tokens of this rank's rows, and, chunk by chunk from `lastStarts`, which of the chunk's own rows are last tokens. */
  readonly ownTokens: Uint32Array;
  readonly ownLast: Uint32Array;
  /** Row of `xLast` -> sequence of the batch. */
  readonly sequences: readonly { readonly row: number; readonly sequence: number }[];
}

const startOf = (counts: readonly number[], rank: number): number => counts.slice(0, rank).reduce((sum, count) => sum + count, 0);

/** @param ofAll heads split: `packed` is the batch of all ranks; otherwise this rank's own */
export function ownedBatch(packed: PackedBatch, chunks: readonly ChunkRows[], rank: number, ofAll: boolean, chunkStride: number): OwnedBatch {
  const lastStarts: number[] = [];
  let lastRows = 0;
  const sequences: { row: number; sequence: number }[] = [];
  const last: [number, number][] = [];
  const ownTokens = new Uint32Array(chunks.length * chunkStride);
  for (const [c, { tokens, last: endings }] of chunks.entries()) {
    // 64: indices of last tokens are bound from here, too.
    lastRows = padTo(lastRows, 64);
    lastStarts.push(lastRows);
    const chunk = packed.chunks[c];
    const ending = endings[rank] ?? 0;
    if (chunk) {
      const firstToken = ofAll ? startOf(tokens, rank) : 0;
      const firstLast = ofAll ? startOf(endings, rank) : 0;
      ownTokens.set(packed.tokens.subarray(chunk.start + firstToken, chunk.start + firstToken + (tokens[rank] ?? 0)), c * chunkStride);
      for (let i = 0; i < ending; i++) {
        sequences.push({ row: lastRows + i, sequence: chunk.firstAsked + firstLast + i });
        last.push([lastRows + i, (packed.lastRows[chunk.firstLast + firstLast + i] ?? 0) - firstToken]);
      }
    }
    lastRows += ending;
  }
  const ownLast = new Uint32Array(lastRows);
  for (const [row, index] of last) ownLast[row] = index;
  return { packed, chunks, chunkStride, lastStarts, lastRows: padTo(lastRows, ROW_ALIGN), ownTokens, ownLast, sequences };
}

export interface SplitPassParts {
  readonly ctx: SplitContext;
  readonly weights: DeviceWeights;
  readonly layout: ExpertLayout;
  readonly batch: OwnedBatch;
  readonly begin: (layer: number) => void;
}

/** Records all layers; the residual rows of this rank's last tokens stand in `xLast` afterwards. */
export async function recordSplitLayers(parts: SplitPassParts, stream: SlotStream): Promise<void> {
  const { ctx, weights, batch } = parts;
  const { chunks, chunkStride } = batch;
  const rank = ctx.shape.rank;
  for (const [c, { tokens }] of chunks.entries()) {
    const count = tokens[rank] ?? 0;
    if (count === 0) continue;
    recordEmbedding(ctx, weights, { count, tokens: slice(ctx.work.ownTokens, c * chunkStride * 4, count * 4), x: residualRows(ctx.config, ctx.work.x, c * chunkStride, count) });
  }
  ctx.recorder.submit(); // whatever is recorded is submitted before another pass may go on
  const lastLayer = weights.layers.length - 1;
  for (const [index, layer] of weights.layers.entries()) {
    const slot = layer.dense ? undefined : await stream.ready(index);
    parts.begin(index);
    for (const c of chunks.keys()) await recordChunk(parts, index, layer, c, index === lastLayer, slot);
    ctx.recorder.submit();
    if (slot) stream.done(index);
  }
}

async function recordChunk(parts: SplitPassParts, index: number, layer: DeviceLayer, c: number, isLast: boolean, slot: Awaited<ReturnType<SlotStream['ready']>> | undefined): Promise<void> {
  const { ctx, batch } = parts;
  const rank = ctx.shape.rank;
  const chunkRows = batch.chunks[c] as ChunkRows;
  const tokens = chunkRows.tokens[rank] ?? 0;
  const set = { rows: tokens, x: residualRows(ctx.config, ctx.work.x, c * batch.chunkStride, Math.max(1, tokens)) };
  const ending = chunkRows.last[rank] ?? 0;
  const last = { rows: ending, x: residualRows(ctx.config, ctx.work.xLast, batch.lastStarts[c] ?? 0, Math.max(1, ending)) };
  const chunk = batch.packed.chunks[c];
  if (ctx.shape.attention === 'heads') {
    const op = { index, layer, set, rows: chunkRows, chunk: chunk as Chunk, packed: batch.packed };
    if (isLast) await recordSplitLastAttention(ctx, op, slice(ctx.work.ownLast, (batch.lastStarts[c] ?? 0) * 4, Math.max(1, ending) * 4), last.x);
    else await recordSplitAttention(ctx, op);
  } else if (chunk) {
    recordOwnAttention(ctx, layer, set, chunk, batch.packed, isLast ? last : undefined);
  }
  const rows = isLast ? last : set;
  const dense = denseExperts(layer);
  if (dense) {
    if (rows.rows > 0) recordExperts(ctx, layer, rows, dense);
    return;
  }
  const source = { ...slotExperts(slot as NonNullable<typeof slot>, parts.layout, { ...ctx.config, numExperts: ctx.shape.owned[rank]?.count ?? 0 }), topK: ctx.shape.choices };
  await recordSplitExperts(ctx, { index, layer, set: rows, rows: isLast ? chunkRows.last : chunkRows.tokens }, source);
}

/** Attention of this rank's own sequences; in the last layer of their last tokens, whose rows go to `last`. */
function recordOwnAttention(ctx: SplitContext, layer: DeviceLayer, set: { rows: number; x: ReturnType<typeof slice> }, chunk: Chunk, packed: PackedBatch, last: { rows: number; x: ReturnType<typeof slice> } | undefined): void {
  if (!last) return recordAttention(ctx, layer, set, chunk, keysSeen(packed.positions, chunk.start, chunk.tokens));
  recordKeysValues(ctx, layer, set, chunk);
  if (last.rows === 0) return;
  const rows = slice(ctx.work.lastRows, chunk.firstLast * 4, chunk.asked * 4);
  normForAttention(ctx, { rows: chunk.asked, x: set.x }, layer, rows);
  gatherRows(ctx.gpu, ctx.recorder, { count: chunk.asked, stride: rowStride(ctx.config), x: set.x, rows, out: last.x });
  recordLastAttend(ctx, layer, chunk, keysSeen(packed.lastPositions, chunk.firstLast, chunk.asked), { out: last.x, accumulate: true });
}
