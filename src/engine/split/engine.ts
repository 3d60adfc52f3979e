/** The engine of a rank that computes batches together with others: rows travel, weights stay. */
import { InputError } from '../../errors.ts';
import type { ModelConfig, ModelWeights } from '../../model/types.ts';
import type { GpuDevice } from '../../runtime/device.ts';
import type { PackedDtype } from '../../runtime/layout.ts';
import { attentionRows, defaultPlan, type KernelPlan } from '../../runtime/plan.ts';
import { Recorder } from '../../runtime/recorder.ts';
import { Timestamps, type DeviceInterval } from '../../runtime/timestamps.ts';
import { checkBatch, packBatch, type Batch, type PackedBatch } from '../batch.ts';
import { expertLayout, type ExpertLayout } from '../expert-layout.ts';
import { assignBlocks, type KvMode } from '../kv-blocks.ts';
import { headFlops, logitsPerSequence, positionsOf, recordHead, uploadInputs, uploadWords } from '../pass-parts.ts';
import { Readback } from '../readback.ts';
import { RopeTable } from '../rope-table.ts';
import type { SlotStream } from '../slot-stream.ts';
import { uploadWeights, type DeviceWeights } from '../weights.ts';
import { maxKvBlocks } from '../workspace.ts';
import type { Activity } from './activity.ts';
import { swapper, type SplitContext } from './context.ts';
import type { RowExchange } from './exchange.ts';
import { ownedBatch, recordSplitLayers, type OwnedBatch } from './pass.ts';
import { mailOverhead, RowMail } from './row-mail.ts';
import { planOwnSequences, planSharedSequences } from './row-plan.ts';
import type { SplitShape } from './shape.ts';
import { chunkCapacity, fitSplitChunk, splitSizes, SplitWorkspace, type SplitCapacity } from './workspace.ts';

export interface SplitEngineOptions {
  readonly plan?: KernelPlan;
  readonly weightDtype: PackedDtype;
  /** Most tokens of a chunk on a rank; the same on all ranks, see {@link SplitEngine.chunkTokens}. */
  readonly chunkTokens?: number;
  readonly kv?: KvMode;
  readonly timestamps?: boolean;
  readonly activity: Activity;
}

/** A batch that all ranks compute together. */
export interface SplitBatch extends Batch {
  /** The cluster's number of the pass. */
  readonly pass: number;
  /** `sequences` are this rank's own (attention data parallel) or those of all (heads split); these are the lengths of each rank's, or one list. */
  readonly lengths: readonly (readonly number[])[];
}

export interface SplitResult {
  /** [rows, candidates]: of the sequences in `sequences`, the others' are with other ranks. */
  readonly logits: Float32Array;
  readonly sequences: readonly number[];
  /** FLOPs computed here. */
  readonly flops: number;
  /** (row, expert) pairs computed here. */
  readonly expertRows: number;
  readonly startMs: number;
  readonly endMs: number;
}

/** Bytes by part; what is mapped to the host at most. */
export interface SplitMemory {
  readonly workspace: number;
  readonly rope: number;
  readonly outbox: number;
  readonly inbox: number;
  readonly readback: number;
}

/** One pass under way. */
interface Lane {
  readonly mail: RowMail;
  work: SplitWorkspace | undefined;
}

const DEFAULT_CHUNK_TOKENS = 2048;

export class SplitEngine {
  readonly expertLayout: ExpertLayout;
  private readonly recorder: Recorder;
  private readonly timestamps: Timestamps | undefined;
  private readonly rope: RopeTable;
  private readonly readback: Readback;
  private readonly owners: GPUBuffer;
  private readonly free: Lane[] = [];
  private readonly lanes: Lane[] = [];
  /** Most tokens of a chunk; every rank must use the smallest of all ranks'. */
  chunkTokens: number;

  private constructor(
    readonly gpu: GpuDevice,
    readonly config: ModelConfig,
    readonly plan: KernelPlan,
    readonly shape: SplitShape,
    private readonly weights: DeviceWeights,
    private readonly exchange: RowExchange,
    private readonly options: SplitEngineOptions,
  ) {
    this.expertLayout = expertLayout(config, options.weightDtype);
    this.chunkTokens = fitSplitChunk(config, plan, shape, options.chunkTokens ?? DEFAULT_CHUNK_TOKENS, gpu.maxBindingBytes);
    this.timestamps = options.timestamps && gpu.hasTimestamps ? new Timestamps(gpu) : undefined;
    this.recorder = new Recorder(gpu, this.timestamps);
    this.rope = new RopeTable(gpu, config);
    this.readback = new Readback(gpu);
    this.owners = gpu.createBuffer('workspace/owners', config.numExperts * 4, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
    const owners = new Uint32Array(config.numExperts);
    if (shape.experts === 'index') for (const [rank, { first, count }] of shape.owned.entries()) owners.fill(rank, first, first + count);
    uploadWords(gpu, this.owners, owners);
  }

  /** @param weights this rank's part of the model (its heads, its columns of the experts) */
  static async create(gpu: GpuDevice, weights: ModelWeights, shape: SplitShape, exchange: RowExchange, options: SplitEngineOptions): Promise<SplitEngine> {
    const { config } = weights;
    if (config.headDim % 8 !== 0) throw new InputError('config.json', 'head_dim', `${config.headDim}; expected a multiple of 8`);
    const plan = options.plan ?? defaultPlan(gpu);
    const uploaded = await uploadWeights(gpu, weights, options.weightDtype);
    return new SplitEngine(gpu, config, plan, shape, uploaded, exchange, options);
  }

  /** Layers' intervals on the device since the last call; empty without timestamps. */
  async takeIntervals(): Promise<DeviceInterval[]> {
    return (await this.timestamps?.take()) ?? [];
  }

  /**
   * Computes a batch together with the other ranks, all of which must be given it, in the same order. Calls may overlap: while the rows of one
   * batch travel, another computes.
   * @throws InputError for tokens or candidates outside the vocabulary, or sequences too long; RankError when a rank is missing
   */
  async forward(batch: SplitBatch, stream: SlotStream): Promise<SplitResult> {
    checkBatch(batch, this.config);
    if (batch.sequences.some(({ scored = 0 }) => scored > 0)) throw new InputError('batch', 'scored', 'ranks that split layers score no positions; expected asyncep, sync or resident');
    const startMs = performance.now();
    const lane = this.free.pop() ?? this.addLane();
    const { logits, sequences, flops, expertRows } = await this.run(lane, batch, stream);
    this.free.push(lane);
    return { logits, sequences, flops, expertRows, startMs, endMs: performance.now() };
  }

  private async run(lane: Lane, batch: SplitBatch, stream: SlotStream): Promise<Pick<SplitResult, 'logits' | 'sequences' | 'flops' | 'expertRows'>> {
    const assignment = assignBlocks(batch.sequences.map(({ tokens }) => tokens.length), this.chunkTokens, this.options.kv ?? 'layer');
    const packed = packBatch(batch, assignment, this.chunkTokens, attentionRows(this.plan.attention));
    const owned = this.own(batch, packed);
    const { buffers: work } = await this.room(lane, batch, owned);
    uploadInputs(this.gpu, work, packed, batch.candidates);
    uploadWords(this.gpu, work.ownTokens, owned.ownTokens);
    uploadWords(this.gpu, work.ownLast, owned.ownLast);
    let flops = 0;
    const counts = { expertRows: 0 };
    const begin = (layer: number): void => this.recorder.begin(`pass ${batch.pass} layer ${layer}`);
    const { gpu, recorder, config, plan, shape, owners, rope } = this;
    const positions = positionsOf(packed);
    const ctx: SplitContext = {
      gpu, recorder, config, plan, shape, owners, counts, work, count: (n) => { flops += n; },
      // Another pass may have had the table grown meanwhile.
      get rope() { return rope.buffer(positions); },
      swap: swapper(lane.mail, begin, batch.pass),
    };
    recorder.begin(`pass ${batch.pass} embedding`);
    stream.begin(batch.pass);
    await recordSplitLayers({ ctx, weights: this.weights, layout: this.expertLayout, batch: owned, begin }, stream);
    stream.end();
    if (owned.sequences.length === 0) return { logits: new Float32Array(0), sequences: [], flops, ...counts };
    recordHead(ctx, this.weights, owned.lastRows, batch.candidates);
    ctx.count(headFlops(config, owned.sequences.length, batch.candidates));
    const columns = logitsPerSequence(config, batch.candidates);
    const rows = await this.options.activity.compute(this.readback.take(recorder, work.logits, owned.lastRows * columns)());
    const logits = new Float32Array(owned.sequences.length * columns);
    for (const [i, { row }] of owned.sequences.entries()) logits.set(rows.subarray(row * columns, (row + 1) * columns), i * columns);
    return { logits, sequences: owned.sequences.map(({ sequence }) => sequence), flops, ...counts };
  }

  private addLane(): Lane {
    const lane = { mail: new RowMail(this.gpu, this.recorder, this.exchange, this.options.activity), work: undefined };
    this.lanes.push(lane);
    return lane;
  }

  /** What passes take, computed from the largest batch so far of each that was under way at a time. */
  memory(): SplitMemory {
    const { config, plan, shape, lanes } = this;
    const words = (sizes: Record<string, number>): number => Object.values(sizes).reduce((sum, bytes) => sum + Math.max(4, Math.ceil(bytes / 4) * 4), 0);
    const sizes = lanes.flatMap(({ work }) => (work ? [splitSizes(config, plan, shape, work.capacity)] : []));
    const sum = (bytes: (of: (typeof sizes)[number]) => number): number => sizes.reduce((total, of) => total + bytes(of), 0);
    return {
      workspace: sum(words) + config.numExperts * 4, ...this.rope.size,
      outbox: sum(({ sendRows }) => sendRows + mailOverhead(shape.world, config.numExperts)), inbox: sum(({ recvRows }) => recvRows + mailOverhead(shape.world, config.numExperts)),
      readback: sum(({ logits }) => 2 * logits),
    };
  }

  private own({ lengths }: SplitBatch, packed: PackedBatch): OwnedBatch {
    const { rank, world, attention } = this.shape;
    const ofAll = attention === 'heads';
    const chunks = ofAll ? planSharedSequences(lengths[0] ?? [], this.chunkTokens, world) : planOwnSequences(lengths, this.chunkTokens);
    const stride = ofAll ? Math.ceil(Math.ceil(this.chunkTokens / world) / 64) * 64 : this.chunkTokens;
    const most = Math.max(0, ...chunks.map(({ tokens }) => tokens[rank] ?? 0));
    return ownedBatch(packed, chunks, rank, ofAll, chunks.length === 1 ? Math.ceil(most / 64) * 64 : stride);
  }

  /** The lane's workspace, grown if this batch needs more. */
  private async room(lane: Lane, batch: SplitBatch, { packed, chunks, chunkStride, lastRows }: OwnedBatch): Promise<SplitWorkspace> {
    const most = maxKvBlocks(this.config, this.plan, this.gpu.maxBindingBytes);
    if (packed.blocks > most) throw new InputError('batch', 'tokens', `${packed.totalTokens} tokens; this device holds keys and values of ${most * 16} tokens in one binding`);
    const rows = (pick: (counts: readonly number[]) => number): number => Math.max(8, ...chunks.flatMap(({ tokens, last }) => [pick(tokens), pick(last)]));
    const { experts, unitsPerToken, rank } = this.shape;
    const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
    const limit = chunkCapacity(this.shape, this.chunkTokens);
    const need: SplitCapacity = {
      batchTokens: Math.max(1, packed.totalTokens), sequences: Math.max(1, packed.sequences), blocks: Math.max(1, packed.blocks),
      chunkTokens: Math.min(this.chunkTokens, Math.ceil(Math.max(1, packed.totalTokens) / 64) * 64),
      ownRows: Math.max(8, chunks.length * chunkStride), ownChunkRows: Math.min(limit.ownChunkRows, Math.ceil(rows((counts) => counts[rank] ?? 0) / 8) * 8),
      lastRows: Math.max(8, lastRows), candidates: logitsPerSequence(this.config, batch.candidates),
      expertRows: rows((counts) => sum(counts) * (experts === 'index' ? unitsPerToken : 1)),
    };
    if (lane.work?.holds(need)) return lane.work;
    await this.gpu.idle();
    const old = lane.work;
    old?.destroy();
    const keys = Object.keys(need) as (keyof SplitCapacity)[];
    const grown = Object.fromEntries(keys.map((key) => [key, Math.max(need[key], old?.capacity[key] ?? 0)])) as unknown as SplitCapacity;
    lane.work = new SplitWorkspace(this.gpu, this.config, this.plan, this.shape, grown);
    return lane.work;
  }
}
