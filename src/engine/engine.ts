/** One forward pass on one device: a packed batch in, the logits of the asked candidates and the scores of the asked positions out. */
import { AllowanceError, InputError } from '../errors.ts';
import type { ModelConfig, ModelWeights } from '../model/types.ts';
import type { GpuDevice } from '../runtime/device.ts';
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';
import type { PackedDtype } from '../runtime/layout.ts';
import { attentionRows, defaultPlan, type KernelPlan } from '../runtime/plan.ts';
import { Recorder } from '../runtime/recorder.ts';
import { Timestamps, type DeviceInterval } from '../runtime/timestamps.ts';
import type { EngineOptions, PassResult } from './pass-result.ts';
import type { SlotStream } from './slot-stream.ts';
import { checkBatch, packBatch, type Batch, type Chunk, type PackedBatch } from './batch.ts';
import { expertLayout, type ExpertLayout } from './expert-layout.ts';
import { keysSeen } from './keys-seen.ts';
import { recordAttention, recordExperts, recordKeysValues, recordLastQueries, slice, slotExperts, type ExpertSource, type LayerContext } from './layer.ts';
import { assignBlocks, type BlockAssignment, type KvMode } from './kv-blocks.ts';
import { denseExperts, headFlops, logitsPerSequence, positionsOf, recordEmbedding, recordHead, residualRows, uploadInputs } from './pass-parts.ts';
import { NO_CACHE_EVENTS } from './prefix/cache-events.ts';
import { PrefixKv } from './prefix/prefix-kv.ts';
import { Readback } from './readback.ts';
import { RopeTable } from './rope-table.ts';
import { recordTile, Scoring } from './scores.ts';
import { StageMail, type StageLinks } from './stage.ts';
import { uploadWeights, type DeviceLayer, type DeviceWeights } from './weights.ts';
import { rowBytes } from '../runtime/kernels/exchange.ts';
import { fitChunk, maxBatchTokens, maxKvBlocks, Workspace, type Capacity } from './workspace.ts';

type Answer = Pick<PassResult, 'logits' | 'scores'>;

/** Of no sequences, and of a stage whose rows go on. */
const NO_ANSWER: Answer = { logits: new Float32Array(0), scores: null };

export const storedDtype = ({ dtype }: ModelConfig): PackedDtype => dtype.toLowerCase() as PackedDtype;

const DEFAULT_CHUNK_TOKENS = 2048;

export class Engine {
  readonly expertLayout: ExpertLayout;
  private readonly recorder: Recorder;
  private readonly timestamps: Timestamps | undefined;
  private readonly rope: RopeTable;
  private readonly readback: Readback;
  private readonly scoring: Scoring;
  private readonly stage: StageMail | undefined;
  private readonly prefix: PrefixKv | undefined;
  private workspace: Workspace | undefined;
  private passes = 0;
  /** What labels of the pass being recorded begin with: stages of a pipeline tell which pass of all it is. */
  private label = '';
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
    stage: StageLinks | undefined,
    prefixCacheBytes: number,
  ) {
    this.expertLayout = expertLayout(config, weightDtype);
    this.stage = stage && new StageMail(gpu, stage);
    this.timestamps = timestamps && gpu.hasTimestamps ? new Timestamps(gpu) : undefined;
    this.recorder = new Recorder(gpu, this.timestamps);
    this.rope = new RopeTable(gpu, config);
    this.readback = new Readback(gpu);
    this.scoring = new Scoring(gpu, config);
    this.prefix = kv === 'cache' ? new PrefixKv(gpu, config, plan, prefixCacheBytes) : undefined;
  }

  /** Uploads the weights that every rank holds. @throws InputError when the model has a shape the kernels cannot run */
  static async create(gpu: GpuDevice, weights: ModelWeights, options: EngineOptions = {}): Promise<Engine> {
    const { config } = weights;
    if (config.headDim % 8 !== 0) throw new InputError('config.json', 'head_dim', `${config.headDim}; expected a multiple of 8`);
    const plan = options.plan ?? defaultPlan(gpu);
    const dtype = options.weightDtype ?? storedDtype(config);
    const chunkTokens = fitChunk(config, plan, options.chunkTokens ?? DEFAULT_CHUNK_TOKENS, gpu.maxBindingBytes);
    const { stage, kv = 'layer' } = options;
    if (stage && kv === 'cache') throw new InputError('engine', 'kv', 'a stage of a pipeline has no prefix cache; expected layer or none');
    const ends = { embedding: stage?.receive === undefined, head: stage?.send === undefined };
    const uploaded = await uploadWeights(gpu, weights, dtype, { ends, onLayer: options.onLayerLoaded });
    const engine = new Engine(gpu, config, plan, chunkTokens, uploaded, kv, dtype, options.timestamps ?? false, stage, options.prefixCacheBytes ?? 0);
    await engine.prepareKernels();
    return engine;
  }

  /** Has every kernel of a pass made before the first one, by recording one that goes nowhere. */
  private async prepareKernels(): Promise<void> {
    const batch = { sequences: [{ tokens: new Uint32Array(1) }], candidates: new Uint32Array(1) };
    const packed = packBatch(batch, assignBlocks([1], this.chunkTokens, this.kv), this.chunkTokens, attentionRows(this.plan.attention));
    const work = new Workspace(this.gpu, this.config, this.plan, { batchTokens: 64, sequences: 1, askedRows: 1, candidates: 1, blocks: 1, chunkTokens: 64 });
    const ctx = this.context(work, work.buffers.x, () => undefined);
    const { numExperts: experts, numExpertsPerTok: topK } = this.config;
    await this.gpu.pipelines.prepare(() => {
      if (this.isFirst) this.recordEmbeddings(ctx, packed);
      for (const [index, layer] of this.weights.layers.entries()) {
        this.recordLayer(ctx, index, packed, denseExperts(layer) ?? { layout: this.expertLayout, banks: [], experts, topK });
      }
      if (this.isLast) for (const candidates of [batch.candidates, null]) recordHead(ctx, this.weights, 1, candidates);
      const { hiddenLast: hidden, logits, lastRows: rows } = work.buffers;
      if (!this.stage) recordTile(ctx, this.weights, { hidden, logits, rows, next: rows, scores: logits }, { first: 0, rows: 1, index: 0, top: 0 });
    });
    work.destroy();
  }

  private context(work: Workspace, rope: GPUBuffer, count: (flops: number) => void): LayerContext {
    return { gpu: this.gpu, recorder: this.recorder, config: this.config, plan: this.plan, work: work.buffers, rope, count };
  }

  /** Device memory of rows between stages, bytes. */
  get stageBytes(): number {
    return this.stage?.deviceBytes ?? 0;
  }

  private get isFirst(): boolean {
    return this.stage?.links.receive === undefined;
  }

  private get isLast(): boolean {
    return this.stage?.links.send === undefined;
  }

  /** Most tokens that one batch may hold on this device. Without a KV cache a single long sequence may bound it further. */
  get maxBatchTokens(): number {
    const { gpu, config, plan, kv } = this;
    return maxBatchTokens(config, plan, { maxBindingBytes: gpu.maxBindingBytes, maxBufferBytes: gpu.device.limits.maxBufferSize }, kv);
  }

  /** Blocks that the prefix cache keeps at most. */
  get cacheBlocks(): number {
    return this.prefix?.blocks ?? 0;
  }

  /** Forgets all prefixes, after the passes asked for so far. Passes do not tell of it: whoever knows what was there has to forget as well. */
  clearCache(): Promise<void> {
    return this.between(() => Promise.resolve(this.prefix?.clear()));
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
   * @param number names the pass among the stages of a pipeline; its logits come from the last one, those of the others are empty
   * @throws InputError for tokens or candidates outside the vocabulary, sequences too long, or positions to score in a stage of a pipeline
   */
  async forward(batch: Batch, stream: SlotStream, number = 0): Promise<PassResult> {
    checkBatch(batch, this.config);
    if (this.stage && batch.sequences.some(({ scored = 0 }) => scored > 0)) throw new InputError('batch', 'scored', 'stages of a pipeline score no positions; expected asyncep, sync or resident');
    const startMs = performance.now();
    if (batch.sequences.length === 0) return { ...NO_ANSWER, cachedTokens: [], cache: NO_CACHE_EVENTS, stats: { pass: this.passes, tokens: 0, sequences: 0, blocks: 0, flops: 0, startMs, endMs: startMs } };
    const rows = this.receive(batch, number);
    const recorded = this.recording.then(() => this.record(batch, stream, number, rows));
    this.recording = recorded.catch(() => undefined);
    const { answer, cachedTokens, cache, ...counts } = await recorded;
    const read = await answer();
    return { ...read, cachedTokens, cache, stats: { ...counts, sequences: batch.sequences.length, startMs, endMs: performance.now() } };
  }

  /** Rows from the stage before, asked for before their turn has come. */
  private receive({ sequences }: Batch, number: number): Promise<GPUBuffer> | undefined {
    if (this.isFirst) return undefined;
    const tokens = sequences.reduce((sum, sequence) => sum + sequence.tokens.length, 0);
    const received = (this.stage as StageMail).receive(number, tokens * rowBytes(this.config.hiddenSize, (this.stage as StageMail).links.wire));
    received.catch(() => undefined); // told where it is awaited
    return received;
  }

  /** Runs `relay` while no pass is being recorded: a rank without work takes part in what its peers gather. */
  between(relay: () => Promise<void>): Promise<void> {
    const relayed = this.recording.then(relay);
    this.recording = relayed.catch(() => undefined);
    return relayed;
  }

  /** Layers' intervals on the device since the last call; empty without timestamps. */
  async takeIntervals(): Promise<DeviceInterval[]> {
    return (await this.timestamps?.take()) ?? [];
  }

  private async record(batch: Batch, stream: SlotStream, number: number, rows: Promise<GPUBuffer> | undefined) {
    const { prefix } = this;
    if (prefix === undefined) {
      const recorded = await this.recordPass(batch, assignBlocks(batch.sequences.map(({ tokens }) => tokens.length), this.chunkTokens, this.kv), stream, number, rows);
      return { ...recorded, cachedTokens: batch.sequences.map(() => 0), cache: NO_CACHE_EVENTS };
    }
    const plan = prefix.plan(batch.sequences);
    try {
      return { ...(await this.recordPass(batch, plan, stream, number, rows)), cachedTokens: plan.cached, cache: plan.events };
    } catch (error) {
      prefix.forget(plan);
      throw error;
    }
  }

  private async recordPass(batch: Batch, assignment: BlockAssignment, stream: SlotStream, number: number, rows: Promise<GPUBuffer> | undefined) {
    const pass = this.passes++;
    const packed = packBatch(batch, assignment, this.chunkTokens, attentionRows(this.plan.attention));
    const inbox = await rows;
    this.label = this.stage ? `pass ${number} ` : '';
    const work = await this.room(batch, packed);
    uploadInputs(this.gpu, work.buffers, packed, batch.candidates);
    let flops = 0;
    const ctx = this.context(work, this.rope.buffer(positionsOf(packed)), (n) => { flops += n; });
    stream.begin(pass);
    if (inbox) this.stage?.recordReceived(ctx, inbox, packed.totalTokens);
    else this.recordEmbeddings(ctx, packed);
    for (const [index, layer] of this.weights.layers.entries()) {
      const dense = denseExperts(layer);
      this.recordLayer(ctx, index, packed, dense ?? slotExperts(await stream.ready(index), this.expertLayout, this.config));
      if (!dense) stream.done(index);
    }
    const answer = this.recordEnd(ctx, batch, packed, number);
    stream.end();
    return { pass, flops, tokens: packed.totalTokens, blocks: packed.blocks, answer };
  }

  /** Logits and scores on their way back, or, in all but the last stage of a pipeline, the rows on their way to the next one. */
  private recordEnd(ctx: LayerContext, batch: Batch, packed: PackedBatch, number: number): () => Promise<Answer> {
    if (!this.isLast) {
      const send = (this.stage as StageMail).recordSent(ctx, number, packed.totalTokens);
      return async () => {
        await send();
        return NO_ANSWER;
      };
    }
    const { sequences: { length: sequences }, candidates } = batch;
    recordHead(ctx, this.weights, sequences, candidates, packed.askedRows === sequences ? undefined : ctx.work.answerRows);
    ctx.count(headFlops(this.config, sequences, candidates));
    const scores = this.scoring.record(ctx, this.weights, batch);
    const logits = { from: ctx.work.logits, bytes: 4 * sequences * logitsPerSequence(this.config, candidates) };
    const read = this.readback.takeAll(this.recorder, scores ? [logits, scores.part] : [logits]);
    return async () => {
      const parts = await (this.stage ? this.stage.links.computing(read()) : read());
      return { logits: new Float32Array(parts[0] as ArrayBuffer), scores: scores && scores.read(parts[1] as ArrayBuffer) };
    };
  }

  /**
   * The workspace, grown if this batch needs more; growing waits for the device, because commands in flight use the old one.
   * @throws InputError when the allowance has no room for it: nothing was recorded, and a smaller batch may go
   */
  private async room(batch: Batch, packed: PackedBatch): Promise<Workspace> {
    this.checkRoom(packed);
    try {
      await this.scoring.reserve(batch);
      return await this.workspaceFor(batch, packed);
    } catch (error) {
      throw error instanceof AllowanceError ? new InputError('batch', 'tokens', `${packed.totalTokens} tokens: ${error.message}`) : error;
    }
  }

  private async workspaceFor(batch: Batch, packed: PackedBatch): Promise<Workspace> {
    const need: Capacity = {
      batchTokens: packed.totalTokens, sequences: batch.sequences.length, askedRows: packed.askedRows, candidates: logitsPerSequence(this.config, batch.candidates),
      blocks: packed.blocks, cachedBlocks: packed.cachedBlocks, chunkTokens: Math.min(this.chunkTokens, Math.ceil(packed.totalTokens / 64) * 64),
    };
    const old = this.workspace;
    if (old?.holds(need)) return old;
    await this.gpu.idle();
    old?.destroy();
    this.workspace = undefined; // there may be no room for a larger one
    const keys = Object.keys(need) as (keyof Capacity)[];
    const grown = Object.fromEntries(keys.map((key) => [key, Math.max(need[key] ?? 0, old?.capacity[key] ?? 0)])) as unknown as Capacity;
    this.workspace = new Workspace(this.gpu, this.config, this.plan, grown);
    return this.workspace;
  }

  private recordEmbeddings(ctx: LayerContext, packed: PackedBatch): void {
    this.recorder.begin(`${this.label}embedding`);
    for (const { start, tokens } of packed.chunks) {
      recordEmbedding(ctx, this.weights, { count: tokens, tokens: slice(ctx.work.tokens, start * 4, tokens * 4), x: residualRows(this.config, ctx.work.x, start, tokens) });
    }
    this.recorder.submit();
  }

  private recordLayer(ctx: LayerContext, index: number, packed: PackedBatch, source: ExpertSource): void {
    const layer = this.weights.layers[index] as DeviceLayer;
    this.recorder.begin(`${this.label}layer ${index}`);
    this.prefix?.recordRestores(ctx, index);
    if (!this.isLast || index < this.config.numHiddenLayers - 1) for (const chunk of packed.chunks) this.recordChunk(ctx, layer, chunk, packed, source);
    else this.recordLastLayer(ctx, layer, packed, source);
    this.prefix?.recordStores(ctx, index);
    this.recorder.submit();
  }

  private recordChunk(ctx: LayerContext, layer: DeviceLayer, chunk: Chunk, packed: PackedBatch, source: ExpertSource): void {
    const set = { rows: chunk.tokens, x: residualRows(this.config, ctx.work.x, chunk.start, chunk.tokens) };
    recordAttention(ctx, layer, set, chunk, keysSeen(packed.positions, chunk.start, chunk.tokens));
    recordExperts(ctx, layer, set, source);
  }

  /**
   * Keys and values of every token, all the rest for what is asked for only: each sequence's last token, and what is scored. Chunk by chunk, as in the other layers, so that
   * keys and values need not outlive the chunk in which their sequence ends; the experts see all these rows together.
   */
  private recordLastLayer(ctx: LayerContext, layer: DeviceLayer, packed: PackedBatch, source: ExpertSource): void {
    for (const chunk of packed.chunks) {
      const set = { rows: chunk.tokens, x: residualRows(this.config, ctx.work.x, chunk.start, chunk.tokens) };
      recordKeysValues(ctx, layer, set, chunk);
      recordLastQueries(ctx, layer, set.x, chunk, keysSeen(packed.lastPositions, chunk.firstLast, chunk.asked));
    }
    for (let first = 0; first < packed.askedRows; first += this.lastRowsAtOnce(ctx)) {
      const rows = Math.min(this.lastRowsAtOnce(ctx), packed.askedRows - first);
      recordExperts(ctx, layer, { rows, x: residualRows(this.config, ctx.work.xLast, first, rows) }, source);
    }
  }

  /** Buffers of a chunk hold that many rows. */
  private lastRowsAtOnce(ctx: LayerContext): number {
    return Math.floor(ctx.work.ids.size / 4 / Math.max(1, this.config.numExpertsPerTok) / 64) * 64;
  }
}

/** See {@link Engine.create}. */
export const createEngine = (gpu: GpuDevice, weights: ModelWeights, options?: EngineOptions): Promise<Engine> => Engine.create(gpu, weights, options);
