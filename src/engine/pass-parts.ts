/** Parts of a pass that do not depend on how ranks share the model: inputs, embedding, head. */
import type { ModelConfig } from '../model/types.ts';
import type { GpuDevice } from '../runtime/device.ts';
import { matmul } from '../runtime/kernels/matmul.ts';
import { candidateHead, embedding, rmsNorm } from '../runtime/kernels/rows.ts';
import type { Binding } from '../runtime/recorder.ts';
import type { PackedBatch } from './batch.ts';
import { rowStride, slice, type ExpertSource, type LayerContext } from './layer.ts';
import type { DeviceLayer, DeviceWeights } from './weights.ts';
import type { WorkspaceBuffers } from './workspace.ts';

export const uploadWords = (gpu: GpuDevice, buffer: GPUBuffer, words: Uint32Array): void =>
  gpu.upload(buffer, new Uint8Array(words.buffer, words.byteOffset, words.byteLength));

const INPUTS = ['tokens', 'positions', 'kvSlots', 'blockTable', 'tiles', 'lastRows', 'lastPositions', 'lastTiles', 'answerRows'] as const;

/** Everything that the kernels need to know about a packed batch. */
export function uploadInputs(gpu: GpuDevice, buffers: WorkspaceBuffers, packed: PackedBatch, candidates: Uint32Array | null): void {
  for (const name of INPUTS) uploadWords(gpu, buffers[name], packed[name]);
  if (candidates) uploadWords(gpu, buffers.candidates, candidates);
}

/** Rows [start, start + rows) of a buffer of residual rows; `start` is a multiple of 8. */
export function residualRows(config: ModelConfig, buffer: GPUBuffer, start: number, rows: number): Binding {
  const rowBytes = rowStride(config) * 4;
  return slice(buffer, start * rowBytes, rows * rowBytes);
}

/** x = the embeddings of `count` tokens. */
export function recordEmbedding({ gpu, recorder }: LayerContext, weights: DeviceWeights, op: { readonly count: number; readonly tokens: Binding; readonly x: Binding }): void {
  embedding(gpu, recorder, { ...op, table: weights.embedding });
}

/** Rows of `xLast`: the first ones, or those that `gather` names. */
interface HeadRows {
  readonly rows: number;
  readonly gather?: Binding | undefined;
  /** Packed [rows, H] in f32: the normed rows. */
  readonly hidden: GPUBuffer;
  /** f32 [rows, V], or as many logits a row as are asked for. */
  readonly logits: GPUBuffer;
}

function normForHead({ gpu, recorder, config, work }: LayerContext, weights: DeviceWeights, { rows, gather, hidden }: HeadRows): void {
  rmsNorm(gpu, recorder, { rows, hidden: config.hiddenSize, eps: config.rmsNormEps, x: work.xLast, weight: weights.finalNorm, y: hidden, type: 'f32', ...(gather && { gather }) });
}

/** Final norm, and the head of the whole vocabulary. */
export function recordVocabulary(ctx: LayerContext, weights: DeviceWeights, op: HeadRows): void {
  normForHead(ctx, weights, op);
  matmul(ctx.gpu, ctx.recorder, { shape: ctx.plan.dense, a: op.hidden, aType: 'f32', b: weights.head, rows: op.rows, out: op.logits, outStride: ctx.config.vocabSize });
}

/** Final norm of the first `rows` rows of `xLast`, or of those that `gather` names, and the head; nothing where no candidates are asked for. */
export function recordHead(ctx: LayerContext, weights: DeviceWeights, rows: number, candidates: Uint32Array | null, gather?: Binding): void {
  const { gpu, recorder, work } = ctx;
  const op = { rows, gather, hidden: work.hiddenLast, logits: work.logits };
  recorder.begin('head');
  if (candidates === null) return recordVocabulary(ctx, weights, op);
  if (candidates.length === 0) return;
  normForHead(ctx, weights, op);
  candidateHead(gpu, recorder, { sequences: rows, candidates: work.candidates, count: candidates.length, h: work.hiddenLast, head: weights.head, logits: work.logits });
}

export const headFlops = (config: ModelConfig, sequences: number, candidates: Uint32Array | null): number =>
  2 * sequences * logitsPerSequence(config, candidates) * config.hiddenSize;

export const logitsPerSequence = ({ vocabSize }: ModelConfig, candidates: Uint32Array | null): number => candidates?.length ?? vocabSize;

/** A dense layer's MLP as an expert that everyone chooses; undefined in a MoE layer. */
export const denseExperts = ({ dense }: DeviceLayer): ExpertSource | undefined => dense && { layout: dense.layout, banks: [dense.bank], experts: 1, topK: 1 };

/** Positions that the rotary table must hold: each sequence's last token is among the asked rows. */
export const positionsOf = ({ lastPositions }: PackedBatch): number => lastPositions.reduce((longest, position) => Math.max(longest, position), 0) + 1;
