/** Activation memory of a pass: sized once for a capacity, grown when a larger batch comes. */
import type { ModelConfig } from '../model/types.ts';
import type { GpuDevice } from '../runtime/device.ts';
import { BLOCK_TOKENS, kvBytes } from '../runtime/kernels/attention.ts';
import { maxExpertTiles } from '../runtime/kernels/experts.ts';
import { CELL, packedBytes, padTo } from '../runtime/layout.ts';
import { attentionRows, tileRows, type KernelPlan } from '../runtime/plan.ts';
import { LAST_ALIGN, TILE_ALIGN } from './batch.ts';
import type { KvMode } from './kv-blocks.ts';

/** What a workspace has room for. */
export interface Capacity {
  /** Tokens of a batch. */
  readonly batchTokens: number;
  readonly sequences: number;
  /** Rows that the last layer computes: at least one for each sequence. */
  readonly askedRows: number;
  /** Logits of one sequence. */
  readonly candidates: number;
  /** Tokens of a chunk. */
  readonly chunkTokens: number;
  /** KV blocks, see kv-blocks.ts. */
  readonly blocks: number;
  /** Blocks of cached prefixes, each as often as a sequence has it; none by default. */
  readonly cachedBlocks?: number;
}

type Sizes = Readonly<Record<(typeof BUFFERS)[number], number>>;

const BUFFERS = [
  'tokens', 'positions', 'kvSlots', 'blockTable', 'tiles', 'lastRows', 'lastPositions', 'lastTiles', 'answerRows', 'candidates',
  'x', 'xLast', 'a', 'aExperts', 'aRouter', 'qkv', 'q', 'keys', 'values', 'attended',
  'routerLogits', 'ids', 'weights', 'counts', 'ranks', 'rowToken', 'pairRow', 'offsets', 'tileBase', 'expertTiles',
  'act', 'y', 'hiddenLast', 'logits',
] as const;

const WORD = 4;

/** Bytes of every buffer. */
export function workspaceSizes(config: ModelConfig, plan: KernelPlan, c: Capacity): Sizes {
  const { hiddenSize, headDim, numAttentionHeads, numKeyValueHeads, numExperts, numExpertsPerTok, layerIsMoe } = config;
  const rows = c.chunkTokens;
  const hidden = padTo(hiddenSize, CELL);
  const queryWidth = numAttentionHeads * headDim;
  const kvWidth = numKeyValueHeads * headDim;
  const hasDense = layerIsMoe.includes(false);
  const pairs = rows * Math.max(numExpertsPerTok, 1);
  const act = Math.max(packedBytes(pairs, config.moeIntermediateSize, plan.operands.experts), hasDense ? packedBytes(rows, config.intermediateSize, 'f32') : 0);
  const operand = plan.operands.attention === 'f32' ? 4 : 2;
  const chunks = Math.ceil(c.batchTokens / rows);
  const attentionTiles = Math.ceil(c.batchTokens / attentionRows(plan.attention)) + c.sequences + chunks * (TILE_ALIGN + 1);
  const lastTokens = c.askedRows + Math.max(0, Math.min(chunks, c.askedRows) - 1) * LAST_ALIGN;
  const tableEntries = Math.floor(c.batchTokens / BLOCK_TOKENS) + c.sequences + (c.cachedBlocks ?? 0); // at most one partly filled block a sequence
  const kv = kvBytes(c.blocks, numKeyValueHeads, headDim, plan.operands.attention);
  return {
    tokens: c.batchTokens * WORD, positions: c.batchTokens * WORD, kvSlots: c.batchTokens * WORD, blockTable: tableEntries * WORD,
    tiles: attentionTiles * 16, lastRows: lastTokens * WORD, lastPositions: lastTokens * WORD, lastTiles: lastTokens * 16, answerRows: c.sequences * WORD, candidates: c.candidates * WORD,
    x: c.batchTokens * hidden * WORD, xLast: c.askedRows * hidden * WORD,
    a: packedBytes(rows, hiddenSize, plan.operands.attention), aExperts: packedBytes(rows, hiddenSize, hasDense ? 'f32' : plan.operands.experts),
    aRouter: plan.operands.experts === 'f32' ? 0 : packedBytes(rows, hiddenSize, 'f32'),
    qkv: rows * (queryWidth + 2 * kvWidth) * WORD, q: rows * queryWidth * operand, keys: kv, values: kv, attended: packedBytes(rows, queryWidth, plan.operands.attention),
    routerLogits: rows * numExperts * WORD, ids: pairs * WORD, weights: pairs * WORD,
    counts: numExperts * WORD, ranks: pairs * WORD, rowToken: pairs * WORD, pairRow: pairs * WORD,
    offsets: (numExperts + 1) * WORD, tileBase: (numExperts + 1) * WORD,
    expertTiles: maxExpertTiles(pairs, numExperts, tileRows(plan.grouped)) * 16,
    act, y: pairs * hidden * WORD,
    hiddenLast: packedBytes(c.sequences, hiddenSize, 'f32'), logits: c.sequences * c.candidates * WORD,
  };
}

/** Bytes of a workspace, summed (each buffer has at least 4). */
export const workspaceBytes = (config: ModelConfig, plan: KernelPlan, capacity: Capacity): number =>
  Object.values(workspaceSizes(config, plan, capacity)).reduce((sum, bytes) => sum + Math.max(WORD, padTo(bytes, WORD)), 0);

/** Most tokens of a chunk so that no buffer of a chunk outgrows one binding; a multiple of 64. */
export function fitChunk(config: ModelConfig, plan: KernelPlan, wanted: number, maxBindingBytes: number): number {
  const perChunk = (tokens: number): number => {
    const sizes = workspaceSizes(config, plan, { batchTokens: 0, sequences: 0, askedRows: 0, candidates: 0, blocks: 0, chunkTokens: tokens });
    return Math.max(...Object.values(sizes));
  };
  let tokens = padTo(wanted, 64);
  while (tokens > 64 && perChunk(tokens) > maxBindingBytes) tokens = Math.max(64, padTo(tokens / 2, 64));
  return tokens;
}

/** Most KV blocks so that keys, and values, fit one binding. */
export const maxKvBlocks = (config: ModelConfig, plan: KernelPlan, maxBindingBytes: number): number =>
  Math.floor(maxBindingBytes / kvBytes(1, config.numKeyValueHeads, config.headDim, plan.operands.attention));

/** What bounds a batch, of a device. */
export interface BatchLimits {
  readonly maxBindingBytes: number;
  readonly maxBufferBytes: number;
}

/**
 * Most tokens of a batch: the residual stream is one buffer, the index arrays one binding each, and so are the keys and values of the whole
 * batch where they are kept for a layer.
 */
export function maxBatchTokens(config: ModelConfig, plan: KernelPlan, { maxBindingBytes, maxBufferBytes }: BatchLimits, kv: KvMode): number {
  const stream = Math.floor(maxBufferBytes / (padTo(config.hiddenSize, CELL) * WORD));
  const kept = kv === 'none' ? Infinity : maxKvBlocks(config, plan, maxBindingBytes) * BLOCK_TOKENS;
  return Math.min(stream, Math.floor(maxBindingBytes / WORD), kept);
}

export type WorkspaceBuffers = Readonly<Record<keyof Sizes, GPUBuffer>>;

export class Workspace {
  readonly buffers: WorkspaceBuffers;

  constructor(
    private readonly gpu: GpuDevice,
    config: ModelConfig,
    plan: KernelPlan,
    readonly capacity: Capacity,
  ) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const sizes = workspaceSizes(config, plan, capacity);
    const made: Partial<Record<keyof Sizes, GPUBuffer>> = {};
    this.buffers = made as WorkspaceBuffers;
    try {
      for (const name of BUFFERS) made[name] = gpu.createBuffer(`workspace/${name}`, sizes[name], usage);
    } catch (error) {
      this.destroy(); // a smaller batch may still find room
      throw error;
    }
  }

  holds(need: Capacity): boolean {
    return (Object.keys(need) as (keyof Capacity)[]).every((key) => (need[key] ?? 0) <= (this.capacity[key] ?? 0));
  }

  destroy(): void {
    for (const buffer of Object.values(this.buffers)) this.gpu.destroyBuffer(buffer);
  }
}
