/** The real rank: a checkpoint, one device, and what runs passes under the strategy that was asked for. */
import type { Messenger } from '../collective/messenger.ts';
import type { ShardGeometry, ShardReader } from '../collective/transport.ts';
import { storedDtype } from '../engine/index.ts';
import { InputError } from '../errors.ts';
import type { ModelWeights } from '../model/types.ts';
import { openGpu, type OpenGpu } from '../node/gpu.ts';
import { waitFor } from '../node/pacing.ts';
import { readShader } from '../node/shaders.ts';
import { openDevice, type GpuDevice } from '../runtime/device.ts';
import type { PackedDtype } from '../runtime/layout.ts';
import { measureMatmulRate } from '../runtime/matmul-rate.ts';
import { defaultPlan, kernelPlanSchema, type KernelPlan } from '../runtime/plan.ts';
import { tunePlan, tuningKey, type TuneOptions } from '../runtime/tune.ts';
import { rowStrategy, type StreamStrategy } from '../strategy/index.ts';
import type { MemoryRow } from '../strategy/memory.ts';
import type { StreamStats } from '../strategy/stats.ts';
import type { BackendHooks, BatchRoom, LinkStats, MeasuredRates, OpenBackend, RankBackend, RankBatch, RankOutput } from './backend.ts';
import type { RankSetup } from './messages.ts';
import { openModel } from './model-source.ts';
import { RowRunner } from './row-runner.ts';
import type { Runner } from './runner.ts';
import { StreamRunner } from './stream-runner.ts';

export const openBackend: OpenBackend = async (setup, hooks) => {
  const weights = await openModel(setup.model);
  const opened = await openGpu(setup.adapter ?? undefined);
  const gpu = await openDevice(opened.adapter, {
    shaders: readShader, wait: waitFor(opened), ...(setup.bankBytes === null ? {} : { maxBindingBytes: setup.bankBytes }),
    ...(setup.memoryLimitBytes === null ? {} : { memoryLimitBytes: setup.memoryLimitBytes }),
  });
  return new EngineBackend(setup, hooks, weights, opened, gpu);
};

class EngineBackend implements RankBackend {
  readonly adapter: string;
  readonly tuningKey: string;
  readonly software: boolean;
  readonly #dtype: PackedDtype;
  readonly #runner: Runner;
  #plan: KernelPlan | null = null;

  constructor(
    private readonly setup: RankSetup,
    hooks: BackendHooks,
    private readonly weights: ModelWeights,
    private readonly opened: OpenGpu,
    private readonly gpu: GpuDevice,
  ) {
    this.#dtype = setup.dtype ?? storedDtype(weights.config);
    this.adapter = gpu.name;
    this.tuningKey = tuningKey(gpu, this.#tuneOptions);
    this.software = opened.software;
    const definition = rowStrategy(setup.strategy);
    const context = { setup, hooks, weights, gpu, dtype: this.#dtype };
    this.#runner = definition ? new RowRunner(context, definition) : new StreamRunner(context, setup.strategy as StreamStrategy);
  }

  get limits(): RankBackend['limits'] {
    const { vocabSize, maxPositionEmbeddings } = this.weights.config;
    return { vocabSize, maxPositionEmbeddings };
  }

  get geometry(): ShardGeometry {
    return this.#runner.geometry;
  }

  get shard(): number {
    return this.#runner.shard;
  }

  get needsMessenger(): boolean {
    return this.#runner.needsMessenger;
  }

  pack(layer: number, expert: number): Promise<Uint8Array> {
    return this.#runner.pack(layer, expert);
  }

  get #tuneOptions(): TuneOptions {
    return { weightDtype: this.#dtype, headDim: this.weights.config.headDim, allowF16: this.setup.activations === 'auto' };
  }

  async tune(): Promise<KernelPlan> {
    return this.setup.tune ? tunePlan(this.gpu, this.#tuneOptions) : defaultPlan(this.gpu);
  }

  /** The tuned plan, or the default one, with the operands that were asked for. */
  #planOf(tuning: unknown): KernelPlan {
    const known = kernelPlanSchema.safeParse(tuning);
    const plan = known.success ? known.data : defaultPlan(this.gpu);
    if (this.setup.activations !== 'f16') return plan;
    if (!this.gpu.hasF16) throw new InputError('--activations', 'f16', `${this.adapter} has no shader-f16; expected f32 or auto`);
    return { ...plan, operands: { ...plan.operands, experts: 'f16' } };
  }

  prepare(readers: readonly ShardReader[], tuning: unknown, messenger: Messenger | null): Promise<number | null> {
    this.#plan = this.#planOf(tuning);
    return this.#runner.prepare(this.#plan, readers, messenger);
  }

  warm(chunkTokens: number | null): Promise<void> {
    return this.#runner.warm(chunkTokens);
  }

  async measure(tokens: number): Promise<MeasuredRates> {
    const passFlopsPerSecond = await this.#runner.measure(tokens);
    const peakFlopsPerSecond = await measureMatmulRate(this.gpu, this.#plan ?? defaultPlan(this.gpu), this.#dtype);
    return { passFlopsPerSecond, peakFlopsPerSecond };
  }

  room(): BatchRoom {
    return this.#runner.room();
  }

  forward(batch: RankBatch, pass: number): Promise<RankOutput> {
    return this.#runner.forward(batch, pass);
  }

  takeStats(): StreamStats {
    return this.#runner.takeStats();
  }

  takeLinkStats(): LinkStats {
    return this.#runner.takeLinkStats();
  }

  memory(): MemoryRow[] {
    return this.#runner.memory();
  }

  async close(): Promise<void> {
    await this.#runner.close();
    await this.weights.close();
    this.gpu.close();
    this.opened.close();
  }
}
