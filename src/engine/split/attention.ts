/** Attention of a layer where ranks split its heads: normed rows of all ranks in, shares of the output projection back. */
import { packRows, unpackRows } from '../../runtime/kernels/exchange.ts';
import type { Binding } from '../../runtime/recorder.ts';
import { gatherRows } from '../../runtime/kernels/rows.ts';
import type { Chunk, PackedBatch } from '../batch.ts';
import { keysSeen } from '../keys-seen.ts';
import { normForAttention, recordAttend, recordKeysValuesOf, recordLastAttend, rowStride, slice, type RowSet } from '../layer.ts';
import type { DeviceLayer } from '../weights.ts';
import type { SplitContext } from './context.ts';
import type { ChunkRows } from './row-plan.ts';
import { gatherPackets, reducePartial } from './scatter.ts';

/** A chunk on its way through a layer whose heads are split. */
export interface SplitChunk {
  readonly index: number;
  readonly layer: DeviceLayer;
  /** This rank's rows of the residual stream. */
  readonly set: RowSet;
  readonly rows: ChunkRows;
  readonly chunk: Chunk;
  readonly packed: PackedBatch;
}

/** Normed rows of all ranks stand in `recvRows` afterwards. */
async function gatherNormed(ctx: SplitContext, { index, layer, set, rows }: SplitChunk): Promise<void> {
  const { gpu, recorder, work, shape, plan, config } = ctx;
  normForAttention(ctx, set, layer);
  packRows(gpu, recorder, {
    maxRows: set.rows, unitsPerToken: 1, choices: 0, hidden: config.hiddenSize, wire: shape.wire, source: work.a, sourceType: plan.operands.attention, out: work.sendRows,
  });
  await gatherPackets(ctx, index, rows.tokens, 0);
}

function unpack({ gpu, recorder, work, shape, plan, config }: SplitContext, rows: number, list?: Binding): void {
  unpackRows(gpu, recorder, {
    rows, hidden: config.hiddenSize, wire: shape.wire, choices: 0, packets: work.recvRows, out: work.a, outType: plan.operands.attention,
    firstExpert: 0, experts: 0, ...(list && { list }),
  });
}

/** x += attention(norm(x)) for the rows of all ranks. */
export async function recordSplitAttention(ctx: SplitContext, op: SplitChunk): Promise<void> {
  const { chunk, packed } = op;
  await gatherNormed(ctx, op);
  unpack(ctx, chunk.tokens);
  recordAttend(ctx, op.layer, chunk, keysSeen(packed.positions, chunk.start, chunk.tokens), { out: ctx.work.partial, accumulate: false });
  await reducePartial(ctx, op.index, op.rows.tokens, op.set.x);
}

/**
 * The last layer: keys and values of the chunk, queries of the last tokens in it.
 * @param ownLast rows (of `op.set`) of the last tokens that are this rank's
 * @param xLast where their residual rows go
 */
export async function recordSplitLastAttention(ctx: SplitContext, op: SplitChunk, ownLast: Binding, xLast: Binding): Promise<void> {
  const { gpu, recorder, work, shape, config } = ctx;
  const { chunk, packed, layer, rows } = op;
  await gatherNormed(ctx, op);
  unpack(ctx, chunk.tokens);
  recordKeysValuesOf(ctx, layer, chunk);
  if (chunk.asked === 0) return;
  unpack(ctx, chunk.asked, slice(work.lastRows, chunk.firstLast * 4, chunk.asked * 4));
  recordLastAttend(ctx, layer, chunk, keysSeen(packed.lastPositions, chunk.firstLast, chunk.asked), { out: work.partial, accumulate: false });
  gatherRows(gpu, recorder, { count: rows.last[shape.rank] ?? 0, stride: rowStride(config), x: op.set.x, rows: ownLast, out: xLast });
  await reducePartial(ctx, op.index, rows.last, xLast);
}
