/** One decoder layer, recorded: attention over a chunk, then its experts. */
import type { ModelConfig } from '../model/types.ts';
import type { Slot } from './slot-stream.ts';
import type { GpuDevice } from '../runtime/device.ts';
import { attention, ropeKv, type KvBlocks } from '../runtime/kernels/attention.ts';
import { combine, expertSort, fill, maxExpertTiles, routerTopK } from '../runtime/kernels/experts.ts';
import { groupedMatmul, groupedSwiglu, matmul, type ExpertBank } from '../runtime/kernels/matmul.ts';
import { gatherRows, rmsNorm } from '../runtime/kernels/rows.ts';
import { CELL, padTo } from '../runtime/layout.ts';
import { tileRows, type KernelPlan, type OperandDtype } from '../runtime/plan.ts';
import type { Binding, Recorder } from '../runtime/recorder.ts';
import type { ExpertLayout } from './expert-layout.ts';
import type { Chunk } from './batch.ts';
import type { DeviceLayer } from './weights.ts';
import type { WorkspaceBuffers } from './workspace.ts';

/** What recording a layer needs to know. */
export interface LayerContext {
  readonly gpu: GpuDevice;
  readonly recorder: Recorder;
  readonly config: ModelConfig;
  readonly plan: KernelPlan;
  readonly work: WorkspaceBuffers;
  readonly rope: GPUBuffer;
  /** Counts the FLOPs of what is recorded (multiply-add = 2). */
  readonly count: (flops: number) => void;
}

/** Rows that go through a layer together: a chunk of tokens, or some of the sequences' last tokens. */
export interface RowSet {
  readonly rows: number;
  /** f32 rows of the residual stream, from the first of these rows. */
  readonly x: Binding;
}

/** The experts of a layer wherever they are. */
export interface ExpertSource {
  readonly layout: ExpertLayout;
  readonly banks: readonly ExpertBank[];
  readonly experts: number;
  readonly topK: number;
}

/** Banks of a slot as the grouped product wants them. */
export const slotExperts = (slot: Slot, layout: ExpertLayout, { numExperts, numExpertsPerTok }: ModelConfig): ExpertSource => ({
  layout, experts: numExperts, topK: numExpertsPerTok,
  banks: slot.banks.map((buffer, i) => ({
    buffer, expertBytes: slot.expertBytes,
    firstExpert: i * slot.expertsPerBank, experts: Math.min(slot.expertsPerBank, numExperts - i * slot.expertsPerBank),
  })),
});

/** Elements from one row of the residual stream to the next. */
export const rowStride = (config: ModelConfig): number => padTo(config.hiddenSize, CELL);

const kvOf = ({ keys, values }: WorkspaceBuffers): KvBlocks => ({ keys, values });

/** Part of a buffer of rows or tiles, from a multiple of 256 bytes to its end. */
export const slice = (buffer: GPUBuffer, offset: number, size = buffer.size - offset): Binding => ({ buffer, offset, size });

interface Projection {
  readonly first: number;
  readonly columns: number;
  readonly bias?: GPUBuffer | undefined;
}

/** qkv (or part of its columns) of the normed rows in `work.a`. */
function project(ctx: LayerContext, layer: DeviceLayer, rows: number, { first, columns, bias }: Projection): void {
  const { gpu, recorder, plan, work, config } = ctx;
  matmul(gpu, recorder, {
    shape: plan.dense, a: work.a, aType: plan.operands.attention, b: layer.qkv, rows, out: work.qkv, outStride: columns,
    firstColumn: first, columns, ...(bias && { bias }),
  });
  ctx.count(2 * rows * columns * config.hiddenSize);
}

/** Where the output projection goes: onto the residual stream, or, where heads are split over ranks, into rows of partial sums. */
export interface ProjectionTarget {
  readonly out: Binding;
  readonly accumulate: boolean;
}

/** Attention of `tileCount` tiles, and the output projection of what was attended to. */
function attendAndProject(ctx: LayerContext, layer: DeviceLayer, rows: number, tiles: Binding, tileCount: number, keysSeen: number, target: ProjectionTarget): void {
  const { gpu, recorder, plan, work, config } = ctx;
  const { headDim, numAttentionHeads: queryHeads, numKeyValueHeads: kvHeads, hiddenSize } = config;
  attention(gpu, recorder, {
    shape: plan.attention, headDim, queryHeads, kvHeads, type: plan.operands.attention,
    q: work.q, kv: kvOf(work), tiles, tileCount, blockTable: work.blockTable, out: work.attended,
  });
  matmul(gpu, recorder, {
    shape: plan.dense, a: work.attended, aType: plan.operands.attention, b: layer.output, rows,
    ...target, outStride: rowStride(config), ...(layer.outputBias && { bias: layer.outputBias }),
  });
  ctx.count(4 * queryHeads * headDim * keysSeen + 2 * rows * queryHeads * headDim * hiddenSize);
}

const ropeOptions = ({ config, plan, rope }: LayerContext, layer: DeviceLayer) => ({
  queryHeads: config.numAttentionHeads, kvHeads: config.numKeyValueHeads, headDim: config.headDim,
  eps: config.rmsNormEps, type: plan.operands.attention, rope, norms: layer.headNorms,
});

/** RMSNorm of x (or of the rows in `gather`) into `work.a`, the operand of the projections. */
export function normForAttention(ctx: LayerContext, set: RowSet, layer: DeviceLayer, gather?: Binding): void {
  const { gpu, recorder, plan, work, config } = ctx;
  rmsNorm(gpu, recorder, {
    rows: set.rows, hidden: config.hiddenSize, eps: config.rmsNormEps, x: set.x, weight: layer.inputNorm,
    y: work.a, type: plan.operands.attention, ...(gather && { gather }),
  });
}

/** Operand type of a layer's MLP: a dense one is no place to save, there are few. */
export const expertOperands = ({ plan }: LayerContext, layer: DeviceLayer): OperandDtype => (layer.dense ? 'f32' : plan.operands.experts);

/** The experts' input, and the router's where that must be another copy. */
export function normForExperts(ctx: LayerContext, set: RowSet, layer: DeviceLayer): void {
  const { gpu, recorder, work, config } = ctx;
  const type = expertOperands(ctx, layer);
  const apart = layer.router !== undefined && type !== 'f32';
  rmsNorm(gpu, recorder, {
    rows: set.rows, hidden: config.hiddenSize, eps: config.rmsNormEps, x: set.x, weight: layer.postAttentionNorm,
    y: work.aExperts, type, ...(apart && { y32: work.aRouter }),
  });
}

/** Attention block of a chunk whose rows all go on: x += attention(norm(x)). */
export function recordAttention(ctx: LayerContext, layer: DeviceLayer, set: RowSet, chunk: Chunk, keysSeen: number): void {
  normForAttention(ctx, set, layer);
  recordAttend(ctx, layer, chunk, keysSeen, { out: set.x, accumulate: true });
}

/** Attention of a chunk whose normed rows stand in `work.a`. */
export function recordAttend(ctx: LayerContext, layer: DeviceLayer, chunk: Chunk, keysSeen: number, target: ProjectionTarget): void {
  const { gpu, recorder, work } = ctx;
  project(ctx, layer, chunk.tokens, { first: 0, columns: layer.qkv.rows, bias: layer.qkvBias?.all });
  ropeKv(gpu, recorder, {
    ...ropeOptions(ctx, layer), parts: 'all', tokens: chunk.tokens, firstToken: chunk.start,
    qkv: work.qkv, positions: work.positions, q: work.q, kvSlots: work.kvSlots, kv: kvOf(work),
  });
  attendAndProject(ctx, layer, chunk.tokens, slice(work.tiles, chunk.firstTile * 16), chunk.tiles, keysSeen, target);
}

/** The last layer's first half: only keys and values of a chunk. */
export function recordKeysValues(ctx: LayerContext, layer: DeviceLayer, set: RowSet, chunk: Chunk): void {
  normForAttention(ctx, set, layer);
  recordKeysValuesOf(ctx, layer, chunk);
}

/** Keys and values of a chunk whose normed rows stand in `work.a`. */
export function recordKeysValuesOf(ctx: LayerContext, layer: DeviceLayer, chunk: Chunk): void {
  const { gpu, recorder, work, config } = ctx;
  const queryWidth = config.numAttentionHeads * config.headDim;
  project(ctx, layer, chunk.tokens, { first: queryWidth, columns: layer.qkv.rows - queryWidth, bias: layer.qkvBias?.kv });
  ropeKv(gpu, recorder, {
    ...ropeOptions(ctx, layer), parts: 'kv', tokens: chunk.tokens, firstToken: chunk.start,
    qkv: work.qkv, positions: work.positions, kvSlots: work.kvSlots, kv: kvOf(work),
  });
}

/**
 * The last layer's second half: of a chunk, whose rows are `x`, only the rows that are asked for are queries. Their
 * residual rows, with attention added, become rows [firstAsked, firstAsked + asked) of `xLast`.
 */
export function recordLastQueries(ctx: LayerContext, layer: DeviceLayer, x: Binding, chunk: Chunk, keysSeen: number): void {
  const { gpu, recorder, work, config } = ctx;
  const { asked, firstAsked, firstLast } = chunk;
  if (asked === 0) return;
  const rowBytes = rowStride(config) * 4;
  const rows = slice(work.lastRows, firstLast * 4, asked * 4);
  normForAttention(ctx, { rows: asked, x }, layer, rows);
  // A binding begins at a multiple of 256 bytes and these rows of `xLast` need not, but a copy may go anywhere: `y` is free until the experts.
  const out = slice(work.y, 0, asked * rowBytes);
  gatherRows(gpu, recorder, { count: asked, stride: rowStride(config), x, rows, out });
  recordLastAttend(ctx, layer, chunk, keysSeen, { out, accumulate: true });
  recorder.copy(work.y, work.xLast, asked * rowBytes, 0, firstAsked * rowBytes);
}

/** Attention of a chunk's rows that are asked for; their normed rows stand in `work.a`. */
export function recordLastAttend(ctx: LayerContext, layer: DeviceLayer, { asked, firstLast, askedTiles }: Chunk, keysSeen: number, target: ProjectionTarget): void {
  const { gpu, recorder, work, config } = ctx;
  project(ctx, layer, asked, { first: 0, columns: config.numAttentionHeads * config.headDim, bias: layer.qkvBias?.q });
  ropeKv(gpu, recorder, {
    ...ropeOptions(ctx, layer), parts: 'q', tokens: asked, firstToken: firstLast,
    qkv: work.qkv, positions: work.lastPositions, q: work.q,
  });
  attendAndProject(ctx, layer, asked, slice(work.lastTiles, firstLast * 16), askedTiles, keysSeen, target);
}

/** Router and top-k into `work.ids` and `work.weights`, or, in a dense layer, "everyone to expert 0 with weight one". */
export function route(ctx: LayerContext, layer: DeviceLayer, rows: number, experts: number, topK: number): void {
  const { gpu, recorder, plan, work, config } = ctx;
  if (!layer.router) {
    fill(gpu, recorder, work.ids, rows, 0);
    fill(gpu, recorder, work.weights, rows, ONE_AS_BITS);
    return;
  }
  matmul(gpu, recorder, {
    shape: plan.dense, a: plan.operands.experts === 'f32' ? work.aExperts : work.aRouter, aType: 'f32', b: layer.router, rows, out: work.routerLogits, outStride: experts,
  });
  routerTopK(gpu, recorder, { tokens: rows, experts, topK, renormalise: config.normTopkProb, logits: work.routerLogits, ids: work.ids, weights: work.weights });
  ctx.count(2 * rows * experts * config.hiddenSize);
}

const ONE_AS_BITS = 0x3f800000;

/** Rows that meet their experts: what was chosen for each, and where the weighted sums go. */
export interface GroupedRows {
  readonly rows: number;
  /** Packed operand [rows, H]. */
  readonly a: Binding;
  readonly aType: OperandDtype;
  /** u32 and f32 [rows, topK]; an id of `experts` or above names no expert of the source. */
  readonly ids: Binding;
  readonly weights: Binding;
  /** Experts that ids may name: those of the source, and one more where some choices are other ranks' business. */
  readonly buckets: number;
  /** f32 rows [rows, H]: added to, or, with `assign`, written. */
  readonly out: Binding;
  readonly assign?: boolean;
}

/** Expert sort, grouped products and combine: out (+)= sum over a row's choices of weight * expert(a). FLOPs are the caller's to count. */
export function recordGrouped({ gpu, recorder, plan, work, config }: LayerContext, { layout, banks, topK }: ExpertSource, op: GroupedRows): void {
  const stride = rowStride(config);
  expertSort(gpu, recorder, {
    tokens: op.rows, experts: op.buckets, topK, tileRows: tileRows(plan.grouped), ids: op.ids, counts: work.counts, ranks: work.ranks,
    offsets: work.offsets, tileBase: work.tileBase, tiles: work.expertTiles, rowToken: work.rowToken, pairRow: work.pairRow,
  });
  const maxTiles = maxExpertTiles(op.rows * topK, op.buckets, tileRows(plan.grouped));
  const common = { shape: plan.grouped, aType: op.aType, bType: layout.dtype, banks, sorted: { tiles: work.expertTiles, tileBase: work.tileBase, maxTiles } };
  groupedSwiglu(gpu, recorder, {
    ...common, a: op.a, k: config.hiddenSize, columns: layout.upRow, matrixOffset: 0, out: work.act, upRow: layout.upRow, rowToken: work.rowToken,
  });
  groupedMatmul(gpu, recorder, { ...common, a: work.act, k: layout.intermediateSize, columns: stride, matrixOffset: layout.downOffset, out: work.y });
  combine(gpu, recorder, { tokens: op.rows, stride, topK, y: work.y, pairRow: work.pairRow, weights: op.weights, x: op.out, ...(op.assign && { assign: true }) });
}

/** FLOPs of `pairs` (row, expert) pairs. */
export const pairFlops = (pairs: number, { hiddenSize, intermediateSize }: ExpertLayout): number => 6 * pairs * hiddenSize * intermediateSize;

/** Norm, routing, experts and combine of a set of rows: x += MoE(norm(x)). */
export function recordExperts(ctx: LayerContext, layer: DeviceLayer, set: RowSet, source: ExpertSource): void {
  const { layout, experts, topK } = source;
  normForExperts(ctx, set, layer);
  route(ctx, layer, set.rows, experts, topK);
  const { aExperts: a, ids, weights } = ctx.work;
  recordGrouped(ctx, source, { rows: set.rows, a, aType: expertOperands(ctx, layer), ids, weights, buckets: experts, out: set.x });
  ctx.count(pairFlops(set.rows * topK, layout));
}
