/** One forward pass on one device: a packed batch in, the logits of the asked candidates out. */
import { InputError } from '../errors.ts';
import type { ModelConfig, ModelWeights } from '../model/types.ts';
import type { GpuDevice } from '../runtime/device.ts';
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';
import { candidateHead, embedding, rmsNorm } from '../runtime/kernels/rows.ts';
import { matmul } from '../runtime/kernels/matmul.ts';
import type { PackedDtype } from '../runtime/layout.ts';
import { attentionRows, defaultPlan, type KernelPlan } from '../runtime/plan.ts';
import { Recorder } from '../runtime/recorder.ts';
import { Timestamps, type DeviceInterval } from '../runtime/timestamps.ts';
import type { SlotStream } from './slot-stream.ts';
import { checkBatch, packBatch, type Batch, type Chunk, type PackedBatch } from './batch.ts';
import { expertLayout, type ExpertLayout } from './expert-layout.ts';
import { recordAttention, recordExperts, recordKeysValues, recordLastQueries, rowStride, slice, slotExperts, type ExpertSource, type LayerContext } from './layer.ts';
import type { KvMode } from './kv-blocks.ts';
import { Readback } from './readback.ts';
import { RopeTable } from './rope-table.ts';
import { uploadWeights, type DeviceLayer, type DeviceWeights } from './weights.ts';
import { fitChunk, maxBatchTokens, maxKvBlocks, Workspace, type Capacity } from './workspace.ts';

export interface EngineOptions {
  /** Kernel variants; {@link defaultPlan} otherwise. */
  readonly plan?: KernelPlan;
  /** Element type of weights on the device and in the stream of experts; as stored in the checkpoint otherwise. */
  readonly weightDtype?: PackedDtype;
  /** Most tokens of a chunk (bounds activation memory); made smaller where a binding would not hold it. */
  readonly chunkTokens?: number;
  /** How long keys and values are kept: `layer` (default), or `none`, the KV-cache-free mode; the logits are the same to the bit. */
  readonly kv?: KvMode;
  /** Measures every layer on the device's clock (where it has timestamps). */
  readonly timestamps?: boolean;
  readonly onLayerLoaded?: (done: number, of: number) => void;
}

export interface PassStats {
  readonly pass: number;
  readonly tokens: number;
  readonly sequences: number;
  /** True FLOPs that were computed. */
  readonly flops: number;
  /** Host clock: from the call to the logits. */
  readonly startMs: number;
  readonly endMs: number;
}

export interface PassResult {
  /** [sequences, candidates] (or the whole vocabulary), of each sequence's last position. */
  readonly logits: Float32Array;
  readonly stats: PassStats;
}

export const storedDtype = ({ dtype }: ModelConfig): PackedDtype => dtype.toLowerCase() as PackedDtype;

const DEFAULT_CHUNK_TOKENS = 2048;

export class Engine {
  readonly expertLayout: ExpertLayout;
  private readonly recorder: Recorder;
  private readonly timestamps: Timestamps | undefined;
  private readonly rope: RopeTable;
  private readonly readback: Readback;
  private workspace: Workspace | undefined;
  private passes = 0;
  private recording: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly gpu: GpuDevice,
    readonly config: ModelConfig,
    readonly plan: KernelPlan,
    readonly chunkTokens: number,
    private readonly weights: DeviceWeights,
    readonly kv: KvMode,
    weightDtype: PackedDtype,
    timestamps: boolean,
  ) {
    this.expertLayout = expertLayout(config, weightDtype);
    this.timestamps = timestamps && gpu.hasTimestamps ? new Timestamps(gpu) : undefined;
    this.recorder = new Recorder(gpu, this.timestamps);
    this.rope = new RopeTable(gpu, config);
    this.readback = new Readback(gpu);
  }

  /** Uploads the weights that every rank holds. @throws InputError when the model has a shape the kernels cannot run */
  static async create(gpu: GpuDevice, weights: ModelWeights, options: EngineOptions = {}): Promise<Engine> {
    const { config } = weights;
    if (config.headDim % 8 !== 0) throw new InputError('config.json', 'head_dim', `${config.headDim}; expected a multiple of 8`);
    const plan = options.plan ?? defaultPlan(gpu);
    const dtype = options.weightDtype ?? storedDtype(config);
    const chunkTokens = fitChunk(config, plan, options.chunkTokens ?? DEFAULT_CHUNK_TOKENS, gpu.maxBindingBytes);
    const uploaded = await uploadWeights(gpu, weights, dtype, options.onLayerLoaded);
    const engine = new Engine(gpu, config, plan, chunkTokens, uploaded, options.kv ?? 'layer', dtype, options.timestamps ?? false);
    await engine.prepareKernels();
    return engine;
  }

  /** Has every kernel of a pass made before the first one, by recording one that goes nowhere. */
  private async prepareKernels(): Promise<void> {
    const batch = { sequences: [{ tokens: new Uint32Array(1) }], candidates: new Uint32Array(1) };
    const packed = packBatch(batch, this.chunkTokens, attentionRows(this.plan.attention));
    const work = new Workspace(this.gpu, this.config, this.plan, { batchTokens: 64, sequences: 1, candidates: 1, blocks: 1, chunkTokens: 64 });
    const ctx = this.context(work, work.buffers.x, () => undefined);
    const { numExperts: experts, numExpertsPerTok: topK } = this.config;
    await this.gpu.pipelines.prepare(() => {
      this.recordEmbedding(ctx, packed);
      for (const [index, layer] of this.weights.layers.entries()) {
        this.recordLayer(ctx, index, packed, denseExperts(layer) ?? { layout: this.expertLayout, banks: [], experts, topK });
      }
      for (const candidates of [batch.candidates, null]) this.recordHead(ctx, { ...batch, candidates });
    });
    work.destroy();
  }

  private context(work: Workspace, rope: GPUBuffer, count: (flops: number) => void): LayerContext {
    return { gpu: this.gpu, recorder: this.recorder, config: this.config, plan: this.plan, work: work.buffers, rope, count };
  }

  /** Most tokens that one batch may hold on this device. Without a KV cache a single long sequence may bound it further. */
  get maxBatchTokens(): number {
    const { gpu, config, plan, kv } = this;
    return maxBatchTokens(config, plan, { maxBindingBytes: gpu.maxBindingBytes, maxBufferBytes: gpu.device.limits.maxBufferSize }, kv);
  }

  /** @throws InputError when this device cannot hold the batch */
  private checkRoom({ totalTokens, blocks }: PackedBatch): void {
    const most = maxKvBlocks(this.config, this.plan, this.gpu.maxBindingBytes);
    if (blocks > most) {
      throw new InputError('batch', 'tokens', `${totalTokens} tokens in ${blocks} blocks; this device holds keys and values of ${most * BLOCK_TOKENS} tokens in one binding`);
    }
    if (totalTokens > this.maxBatchTokens) throw new InputError('batch', 'tokens', `${totalTokens} tokens; this device holds at most ${this.maxBatchTokens} in one batch`);
  }

  /**
   * Computes the logits of `batch`; the experts of each MoE layer come from `stream`. Calls may overlap: passes are recorded one after
   * the other, and a pass may be recorded while the one before still computes.
   * @throws InputError for tokens or candidates outside the vocabulary, or sequences too long
   */
  async forward(batch: Batch, stream: SlotStream): Promise<PassResult> {
    checkBatch(batch, this.config);
    const startMs = performance.now();
    if (batch.sequences.length === 0) return { logits: new Float32Array(0), stats: { pass: this.passes, tokens: 0, sequences: 0, flops: 0, startMs, endMs: startMs } };
    const recorded = this.recording.then(() => this.record(batch, stream));
    this.recording = recorded.catch(() => undefined);
    const { pass, flops, tokens, logits } = await recorded;
    const values = await logits();
    const stats = { pass, tokens, sequences: batch.sequences.length, flops, startMs, endMs: performance.now() };
    return { logits: values, stats };
  }

  /** Layers' intervals on the device since the last call; empty without timestamps. */
  async takeIntervals(): Promise<DeviceInterval[]> {
    return (await this.timestamps?.take()) ?? [];
  }

  private async record(batch: Batch, stream: SlotStream) {
    const pass = this.passes++;
    const packed = packBatch(batch, this.chunkTokens, attentionRows(this.plan.attention), this.kv);
    const work = await this.room(batch, packed);
    this.uploadInputs(work, batch, packed);
    let flops = 0;
    const ctx = this.context(work, this.rope.buffer(packed.lastPositions.reduce((longest, position) => Math.max(longest, position), 0) + 1), (n) => { flops += n; });
    stream.begin(pass);
    this.recordEmbedding(ctx, packed);
    for (const [index, layer] of this.weights.layers.entries()) {
      const dense = denseExperts(layer);
      this.recordLayer(ctx, index, packed, dense ?? slotExperts(await stream.ready(index), this.expertLayout, this.config));
      if (!dense) stream.done(index);
    }
    this.recordHead(ctx, batch);
    const logits = this.readback.take(this.recorder, work.buffers.logits, batch.sequences.length * this.logitsPerSequence(batch));
    stream.end();
    return { pass, flops, tokens: packed.totalTokens, logits };
  }

  /** The workspace, grown if this batch needs more; growing waits for the device, because commands in flight use the old one. */
  private async room(batch: Batch, packed: PackedBatch): Promise<Workspace> {
    this.checkRoom(packed);
    const need: Capacity = {
      batchTokens: packed.totalTokens, sequences: batch.sequences.length, candidates: this.logitsPerSequence(batch),
      blocks: packed.blocks, chunkTokens: Math.min(this.chunkTokens, Math.ceil(packed.totalTokens / 64) * 64),
    };
    const old = this.workspace;
    if (old?.holds(need)) return old;
    await this.gpu.idle();
    old?.destroy();
    const keys = Object.keys(need) as (keyof Capacity)[];
    const grown = Object.fromEntries(keys.map((key) => [key, Math.max(need[key], old?.capacity[key] ?? 0)])) as unknown as Capacity;
    this.workspace = new Workspace(this.gpu, this.config, this.plan, grown);
    return this.workspace;
  }

  private uploadInputs({ buffers }: Workspace, batch: Batch, packed: PackedBatch): void {
    const write = (buffer: GPUBuffer, words: Uint32Array): void => this.gpu.upload(buffer, new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
    for (const name of ['tokens', 'positions', 'kvSlots', 'blockTable', 'tiles', 'lastRows', 'lastPositions', 'lastTiles'] as const) write(buffers[name], packed[name]);
    if (batch.candidates) write(buffers.candidates, batch.candidates);
  }

  private recordEmbedding(ctx: LayerContext, packed: PackedBatch): void {
    this.recorder.begin('embedding');
    for (const chunk of packed.chunks) {
      const tokens = slice(ctx.work.tokens, chunk.start * 4, chunk.tokens * 4);
      embedding(this.gpu, this.recorder, { count: chunk.tokens, tokens, table: this.weights.embedding, x: this.rowsOf(ctx.work.x, chunk.start, chunk.tokens) });
    }
    this.recorder.submit();
  }

  private rowsOf(buffer: GPUBuffer, start: number, rows: number) {
    const rowBytes = rowStride(this.config) * 4;
    return slice(buffer, start * rowBytes, rows * rowBytes);
  }

  private recordLayer(ctx: LayerContext, index: number, packed: PackedBatch, source: ExpertSource): void {
    const layer = this.weights.layers[index] as DeviceLayer;
    this.recorder.begin(`layer ${index}`);
    if (index < this.config.numHiddenLayers - 1) for (const chunk of packed.chunks) this.recordChunk(ctx, layer, chunk, packed, source);
    else this.recordLastLayer(ctx, layer, packed, source);
    this.recorder.submit();
  }

  private recordChunk(ctx: LayerContext, layer: DeviceLayer, chunk: Chunk, packed: PackedBatch, source: ExpertSource): void {
    const set = { rows: chunk.tokens, x: this.rowsOf(ctx.work.x, chunk.start, chunk.tokens) };
    recordAttention(ctx, layer, set, chunk, keysSeen(packed.positions, chunk.start, chunk.tokens));
    recordExperts(ctx, layer, set, source);
  }

  /**
   * Keys and values of every token, all the rest for each sequence's last token only. Chunk by chunk, as in the other layers, so that
   * keys and values need not outlive the chunk in which their sequence ends; the experts see all last tokens together.
   */
  private recordLastLayer(ctx: LayerContext, layer: DeviceLayer, packed: PackedBatch, source: ExpertSource): void {
    for (const chunk of packed.chunks) {
      const set = { rows: chunk.tokens, x: this.rowsOf(ctx.work.x, chunk.start, chunk.tokens) };
      recordKeysValues(ctx, layer, set, chunk);
      recordLastQueries(ctx, layer, set.x, chunk, keysSeen(packed.lastPositions, chunk.firstLast, chunk.ending));
    }
    for (let first = 0; first < packed.sequences; first += this.lastRowsAtOnce(ctx)) {
      const rows = Math.min(this.lastRowsAtOnce(ctx), packed.sequences - first);
      recordExperts(ctx, layer, { rows, x: this.rowsOf(ctx.work.xLast, first, rows) }, source);
    }
  }

  /** Buffers of a chunk hold that many rows. */
  private lastRowsAtOnce(ctx: LayerContext): number {
    return Math.floor(ctx.work.ids.size / 4 / Math.max(1, this.config.numExpertsPerTok) / 64) * 64;
  }

  private logitsPerSequence(batch: Batch): number {
    return batch.candidates?.length ?? this.config.vocabSize;
  }

  /** Final norm of the last tokens, and the head. */
  private recordHead(ctx: LayerContext, batch: Batch): void {
    const { gpu, recorder, config, work } = ctx;
    const rows = batch.sequences.length;
    const columns = this.logitsPerSequence(batch);
    recorder.begin('head');
    rmsNorm(gpu, recorder, { rows, hidden: config.hiddenSize, eps: config.rmsNormEps, x: work.xLast, weight: this.weights.finalNorm, y: work.hiddenLast, type: 'f32' });
    if (batch.candidates) {
      candidateHead(gpu, recorder, { sequences: rows, candidates: work.candidates, count: columns, h: work.hiddenLast, head: this.weights.head, logits: work.logits });
    } else {
      matmul(gpu, recorder, { shape: this.plan.dense, a: work.hiddenLast, aType: 'f32', b: this.weights.head, rows, out: work.logits, outStride: columns });
    }
    ctx.count(2 * rows * columns * config.hiddenSize);
  }
}

/** A dense layer's MLP as an expert that everyone chooses; undefined in a MoE layer. */
const denseExperts = ({ dense }: DeviceLayer): ExpertSource | undefined => dense && { layout: dense.layout, banks: [dense.bank], experts: 1, topK: 1 };

/** Sum over rows of the keys each one sees: its position and everything before. */
function keysSeen(positions: Uint32Array, start: number, rows: number): number {
  let sum = 0;
  for (let i = start; i < start + rows; i++) sum += (positions[i] ?? 0) + 1;
  return sum;
}

/** See {@link Engine.create}. */
export const createEngine = (gpu: GpuDevice, weights: ModelWeights, options?: EngineOptions): Promise<Engine> => Engine.create(gpu, weights, options);
