/** Activation memory of one pass under way of an engine that computes batches together with other ranks. */
import type { ModelConfig } from '../../model/types.ts';
import type { GpuDevice } from '../../runtime/device.ts';
import { packetBytes, rowBytes } from '../../runtime/kernels/exchange.ts';
import { CELL, packedBytes, padTo } from '../../runtime/layout.ts';
import type { KernelPlan } from '../../runtime/plan.ts';
import { workspaceSizes, type WorkspaceBuffers } from '../workspace.ts';
import type { SplitShape } from './shape.ts';

/** What there must be room for. */
export interface SplitCapacity {
  /** Tokens and sequences whose attention is computed here, and their KV blocks. */
  readonly batchTokens: number;
  readonly sequences: number;
  readonly blocks: number;
  /** Tokens of a chunk whose attention is computed here. */
  readonly chunkTokens: number;
  /** Rows of the residual stream that are kept here: of the batch, and of one chunk. */
  readonly ownRows: number;
  readonly ownChunkRows: number;
  /** Rows of last tokens that are kept here, and logits of each. */
  readonly lastRows: number;
  readonly candidates: number;
  /** Rows that come to the experts here at once. */
  readonly expertRows: number;
}

const EXTRA = [
  'ownTokens', 'ownLast', 'sendRows', 'recvRows', 'partial', 'aReceived', 'idsReceived', 'weightsReceived', 'destCounts', 'destStarts', 'rowOf', 'unitOf',
] as const;

export type SplitBuffers = WorkspaceBuffers & Readonly<Record<(typeof EXTRA)[number], GPUBuffer>>;

const WORD = 4;

/** Buffers of the expert sort and the grouped products, sized by the rows that come from all ranks. */
const OF_EXPERTS = ['counts', 'ranks', 'rowToken', 'pairRow', 'offsets', 'tileBase', 'expertTiles', 'act', 'y'] as const;

/** Bytes of every buffer. `config` is the rank's part of the model (its heads, its columns of experts). */
export function splitSizes(config: ModelConfig, plan: KernelPlan, shape: SplitShape, c: SplitCapacity): Record<keyof SplitBuffers, number> {
  const { world, wire } = shape;
  const hidden = padTo(config.hiddenSize, CELL);
  const none = { batchTokens: 0, sequences: 0, askedRows: 0, candidates: 0, blocks: 0 };
  const attention = workspaceSizes(config, plan, { batchTokens: c.batchTokens, sequences: c.sequences, askedRows: c.sequences, candidates: c.candidates, blocks: c.blocks, chunkTokens: c.chunkTokens });
  const own = workspaceSizes(config, plan, { ...none, chunkTokens: c.ownChunkRows });
  const experts = workspaceSizes({ ...config, numExpertsPerTok: shape.choices, numExperts: shape.buckets }, plan, { ...none, chunkTokens: c.expertRows });
  const units = c.ownChunkRows * shape.unitsPerToken;
  const sent = units * Math.min(world, shape.choices);
  const row = rowBytes(config.hiddenSize, wire);
  const packet = packetBytes(config.hiddenSize, wire, shape.choices);
  return {
    ...attention,
    aExperts: own.aExperts, aRouter: own.aRouter, routerLogits: own.routerLogits, ids: own.ids, weights: own.weights,
    ...Object.fromEntries(OF_EXPERTS.map((name) => [name, Math.max(own[name], experts[name])])),
    x: c.ownRows * hidden * WORD, xLast: c.lastRows * hidden * WORD,
    hiddenLast: packedBytes(c.lastRows, config.hiddenSize, 'f32'), logits: c.lastRows * c.candidates * WORD,
    ownTokens: c.ownRows * WORD, ownLast: c.lastRows * WORD,
    sendRows: Math.max(sent * packet, c.expertRows * row, c.chunkTokens * row),
    recvRows: Math.max(c.expertRows * packet, sent * row, padTo(c.chunkTokens, world) * row, world * c.ownChunkRows * row),
    partial: Math.max(c.expertRows, c.chunkTokens) * hidden * WORD,
    aReceived: packedBytes(c.expertRows, config.hiddenSize, plan.operands.experts),
    idsReceived: c.expertRows * shape.choices * WORD, weightsReceived: c.expertRows * shape.choices * WORD,
    destCounts: world * WORD, destStarts: (world + 1) * WORD, rowOf: units * world * WORD, unitOf: sent * WORD,
  } as Record<keyof SplitBuffers, number>;
}

/** Most tokens of a rank's chunk so that no buffer outgrows one binding; a multiple of 64. */
export function fitSplitChunk(config: ModelConfig, plan: KernelPlan, shape: SplitShape, wanted: number, maxBindingBytes: number): number {
  const largest = (chunkTokens: number): number => {
    const sizes = splitSizes(config, plan, shape, { batchTokens: 0, sequences: 0, blocks: 0, ownRows: 0, lastRows: 0, candidates: 0, ...chunkCapacity(shape, chunkTokens) });
    return Math.max(...Object.values(sizes));
  };
  let tokens = padTo(wanted, 64);
  while (tokens > 64 && largest(tokens) > maxBindingBytes) tokens = Math.max(64, padTo(tokens / 2, 64));
  return tokens;
}

/** What a chunk of `chunkTokens` tokens needs at most. */
export function chunkCapacity({ attention, experts, world, unitsPerToken }: SplitShape, chunkTokens: number): Pick<SplitCapacity, 'chunkTokens' | 'ownChunkRows' | 'expertRows'> {
  const ownChunkRows = attention === 'data' ? chunkTokens : padTo(Math.ceil(chunkTokens / world), 8);
  return { chunkTokens, ownChunkRows, expertRows: ownChunkRows * world * (experts === 'index' ? unitsPerToken : 1) };
}

export class SplitWorkspace {
  readonly buffers: SplitBuffers;

  constructor(
    private readonly gpu: GpuDevice,
    config: ModelConfig,
    plan: KernelPlan,
    shape: SplitShape,
    readonly capacity: SplitCapacity,
  ) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const sizes = Object.entries(splitSizes(config, plan, shape, capacity));
    this.buffers = Object.fromEntries(sizes.map(([name, bytes]) => [name, gpu.createBuffer(`workspace/${name}`, bytes, usage)])) as unknown as SplitBuffers;
  }

  holds(need: SplitCapacity): boolean {
    return (Object.keys(need) as (keyof SplitCapacity)[]).every((key) => need[key] <= this.capacity[key]);
  }

  destroy(): void {
    for (const buffer of Object.values(this.buffers)) this.gpu.destroyBuffer(buffer);
  }
}
