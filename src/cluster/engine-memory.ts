/** The parts of device memory that are not experts, computed from the configuration: attention and workspace (paper section 2). */
import { expertLayout, kvBlocks, prefixCacheBytes, scoringBytes, scoringDemand, widerScoring, workspaceBytes, type Capacity, type KvMode, type ScoringCapacity } from '../engine/index.ts';
import type { ModelConfig } from '../model/types.ts';
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';
import { CELL, packedBytes, padTo, type PackedDtype } from '../runtime/layout.ts';
import type { KernelPlan } from '../runtime/plan.ts';
import type { MemoryPart } from '../strategy/memory.ts';
import type { RankBatch } from './backend.ts';

const vectorBytes = (elements: number): number => padTo(elements, CELL) * 4;

/** Projections, norms and router of one layer. */
function attentionBytes(config: ModelConfig, layer: number, dtype: PackedDtype): number {
  const { hiddenSize, headDim, numAttentionHeads, numKeyValueHeads, numExperts, attentionBias } = config;
  const [q, kv] = [numAttentionHeads * headDim, 2 * numKeyValueHeads * headDim];
  const norms = 2 * vectorBytes(hiddenSize) + vectorBytes(2 * headDim);
  const biases = attentionBias ? vectorBytes(q + kv) + vectorBytes(q) + vectorBytes(kv) + vectorBytes(hiddenSize) : 0;
  const router = config.layerIsMoe[layer] ? packedBytes(numExperts, hiddenSize, 'f32') : 0;
  return norms + biases + router + packedBytes(q + kv, hiddenSize, dtype) + packedBytes(hiddenSize, q, dtype);
}

/**
 * Weights that every rank holds.
 * @param ends of the model that the rank has: a stage of a pipeline may lack one or both
 */
export function weightMemory(config: ModelConfig, dtype: PackedDtype, ends = { embedding: true, head: true }): MemoryPart[] {
  const { vocabSize, hiddenSize, intermediateSize, layerIsMoe, tieWordEmbeddings } = config;
  const table = packedBytes(vocabSize, hiddenSize, dtype);
  const attention = layerIsMoe.reduce((sum, _, layer) => sum + attentionBytes(config, layer, dtype), 0);
  const dense = expertLayout({ hiddenSize, moeIntermediateSize: intermediateSize }, dtype).expertBytes;
  const denseLayers = layerIsMoe.filter((isMoe) => !isMoe).length;
  const parts: MemoryPart[] = [
    { name: 'attention', where: 'device', bytes: attention },
    { name: 'embedding', where: 'device', bytes: ends.embedding || (tieWordEmbeddings && ends.head) ? table : 0 },
    { name: 'head', where: 'device', bytes: vectorBytes(hiddenSize) + (tieWordEmbeddings || !ends.head ? 0 : table) },
  ];
  return denseLayers === 0 ? parts : [...parts, { name: 'dense', where: 'device', bytes: denseLayers * dense }];
}

/** What a rank that splits layers with others takes, as its engine computes it. */
export function splitMemory(parts: Readonly<Record<string, number>>, timestamps: boolean): MemoryPart[] {
  const { workspace = 0, rope = 0, outbox = 0, inbox = 0, readback = 0 } = parts;
  return [
    { name: 'workspace', where: 'device', bytes: workspace + rope + PARAMETER_BYTES + (timestamps ? TIMESTAMP_BYTES : 0) },
    { name: 'outbox', where: 'host', bytes: outbox },
    { name: 'inbox', where: 'host', bytes: inbox },
    { name: 'readback', where: 'host', bytes: readback },
  ];
}

/** The pool of cached prefixes; no part where there is none. */
export function prefixMemory(config: ModelConfig, plan: KernelPlan, cacheBlocks: number): MemoryPart[] {
  return cacheBlocks === 0 ? [] : [{ name: 'prefix cache', where: 'device', bytes: prefixCacheBytes(config, plan, cacheBlocks) }];
}

/** What a stage of a pipeline takes beside its weights: as an engine that stands alone, and rows on their way. */
export function stageMemory(demand: readonly MemoryPart[], parts: Readonly<Record<string, number>>, passesInFlight: number): MemoryPart[] {
  const rows = parts['wire rows'] ?? 0;
  const mail = (name: string): MemoryPart => ({ name, where: 'host', bytes: passesInFlight * Math.ceil(rows / 8) * 8 });
  const more: Readonly<Record<string, (bytes: number) => number>> = { workspace: (bytes) => bytes + rows, readback: (bytes) => bytes * passesInFlight };
  return [...demand.map((part) => ({ ...part, bytes: more[part.name]?.(part.bytes) ?? part.bytes })), mail('inbox'), mail('outbox')];
}

/** Parameters of dispatches: 1024 of 256 bytes. */
const PARAMETER_BYTES = 1 << 18;
/** Timestamps of 1024 compute passes. */
const TIMESTAMP_BYTES = 1 << 14;
/** Rotary tables grow by so many positions. */
const ROPE_STEP = 1024;

/** What of a batch decides on its memory; `scored` positions of each sequence, none by default. */
type DemandingBatch = Pick<RankBatch, 'sequences' | 'candidates'> & { readonly scored?: readonly number[]; readonly top?: number };

/** What a pass held where that depends on what was cached, as its plan has it. */
export interface PlannedPass {
  /** Tokens that were computed. */
  readonly tokens: number;
  readonly blocks: number;
  readonly cachedTokens: readonly number[];
}

/** The largest batch so far, from which the workspace's size follows. */
export class WorkspaceDemand {
  #capacity: Required<Capacity> = { batchTokens: 0, sequences: 0, askedRows: 0, candidates: 0, chunkTokens: 0, blocks: 0, cachedBlocks: 0 };
  #positions = 0;
  #scoring: ScoringCapacity = { positions: 0, words: 0 };
  /** Bytes of one batch's results. */
  #results = 0;

  constructor(
    private readonly config: ModelConfig,
    private readonly plan: KernelPlan,
    /** Most tokens of a chunk, as the engine chose it. */
    private readonly chunkTokens: number,
    private readonly timestamps: boolean,
    private readonly kv: KvMode,
    /** Largest binding of the device. */
    private readonly maxBindingBytes = Infinity,
  ) {}

  /** @param planned where prefixes are cached; elsewhere all follows from the lengths */
  add({ sequences, candidates, scored = [], top = 0 }: DemandingBatch, planned?: PlannedPass): void {
    if (sequences.length === 0) return;
    const lengths = sequences.map(({ length }) => length);
    const asked = lengths.reduce((sum, _, i) => sum + Math.max(1, scored[i] ?? 0), 0);
    const batchTokens = planned?.tokens ?? lengths.reduce((sum, length) => sum + length, 0);
    const cachedTokens = planned?.cachedTokens.reduce((sum, tokens) => sum + tokens, 0) ?? 0;
    const old = this.#capacity;
    this.#capacity = {
      batchTokens: Math.max(old.batchTokens, batchTokens),
      sequences: Math.max(old.sequences, lengths.length),
      askedRows: Math.max(old.askedRows, asked),
      candidates: Math.max(old.candidates, candidates?.length ?? this.config.vocabSize),
      chunkTokens: Math.max(old.chunkTokens, Math.min(this.chunkTokens, padTo(batchTokens, 64))),
      blocks: Math.max(old.blocks, planned?.blocks ?? kvBlocks(lengths, this.chunkTokens, this.kv)),
      cachedBlocks: Math.max(old.cachedBlocks, cachedTokens / BLOCK_TOKENS),
    };
    this.#positions = Math.max(this.#positions, ...lengths);
    const scoring = scoringDemand({ sequences: scored.map((positions) => ({ scored: positions })), top }, this.config);
    this.#scoring = widerScoring(this.#scoring, scoring);
    this.#results = Math.max(this.#results, 4 * (lengths.length * (candidates?.length ?? this.config.vocabSize) + scoring.words));
  }

  parts(): MemoryPart[] {
    const { headDim, maxPositionEmbeddings } = this.config;
    const fixed = PARAMETER_BYTES + (this.timestamps ? TIMESTAMP_BYTES : 0);
    if (this.#positions === 0) return [{ name: 'workspace', where: 'device', bytes: fixed }];
    const rope = Math.min(maxPositionEmbeddings, padTo(this.#positions, ROPE_STEP)) * headDim * 4;
    const scoring = scoringBytes(this.config, this.maxBindingBytes, this.#scoring);
    return [
      { name: 'workspace', where: 'device', bytes: workspaceBytes(this.config, this.plan, this.#capacity) + fixed + rope },
      { name: 'readback', where: 'host', bytes: 2 * this.#results },
      ...(scoring > 0 ? [{ name: 'scoring', where: 'device' as const, bytes: scoring }] : []),
    ];
  }
}
