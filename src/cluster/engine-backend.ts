/** The real rank: a checkpoint, one device, an engine, and the stream of slots of its strategy. */
import type { ShardGeometry, ShardReader } from '../collective/transport.ts';
import { createEngine, expertLayout, packExpert, storedDtype, type Engine, type EngineOptions } from '../engine/index.ts';
import { InputError } from '../errors.ts';
import type { ModelWeights } from '../model/types.ts';
import { openGpu, type OpenGpu } from '../node/gpu.ts';
import { waitFor } from '../node/pacing.ts';
import { readShader } from '../node/shaders.ts';
import { openDevice, type GpuDevice } from '../runtime/device.ts';
import type { PackedDtype } from '../runtime/layout.ts';
import { defaultPlan, kernelPlanSchema, type KernelPlan } from '../runtime/plan.ts';
import { tunePlan, tuningKey, type TuneOptions } from '../runtime/tune.ts';
import { createStream, type CountedStream, type StreamSettings } from '../strategy/index.ts';
import { compareMemory, expertMemory, type MemoryRow } from '../strategy/memory.ts';
import type { StreamEvent, StreamStats } from '../strategy/stats.ts';
import type { BackendHooks, OpenBackend, RankBackend, RankBatch, RankOutput } from './backend.ts';
import { DeviceClock } from './device-clock.ts';
import { WorkspaceDemand, weightMemory } from './engine-memory.ts';
import type { RankSetup } from './messages.ts';
import { openModel } from './model-source.ts';

export const openBackend: OpenBackend = async (setup, hooks) => {
  const weights = await openModel(setup.model);
  const opened = await openGpu(setup.adapter ?? undefined);
  const gpu = await openDevice(opened.adapter, {
    shaders: readShader, wait: waitFor(opened), ...(setup.bankBytes === null ? {} : { maxBindingBytes: setup.bankBytes }),
  });
  return new EngineBackend(setup, hooks, weights, opened, gpu);
};

function geometryOf(weights: ModelWeights, dtype: PackedDtype, world: number): ShardGeometry {
  const { config, modelHash } = weights;
  const layers = config.layerIsMoe.flatMap((isMoe, layer) => (isMoe ? [layer] : []));
  if (layers.length === 0) throw new InputError('config.json', 'mlp_only_layers', 'leaves no layer with experts; expected a mixture-of-experts model');
  return { modelHash, dtype, world, numExperts: config.numExperts, expertBytes: expertLayout(config, dtype).expertBytes, layers };
}

/** Passes before the first real one. */
const WARM_PASSES = 2;

/** What `prepare` makes. */
interface Prepared {
  readonly engine: Engine;
  readonly stream: CountedStream;
  readonly demand: WorkspaceDemand;
}

class EngineBackend implements RankBackend {
  readonly geometry: ShardGeometry;
  readonly adapter: string;
  readonly tuningKey: string;
  readonly software: boolean;
  readonly #dtype: PackedDtype;
  readonly #blob: Uint8Array;
  readonly #clock = new DeviceClock();
  #passesSeen = 0;
  #prepared: Prepared | null = null;

  constructor(
    private readonly setup: RankSetup,
    private readonly hooks: BackendHooks,
    private readonly weights: ModelWeights,
    private readonly opened: OpenGpu,
    private readonly gpu: GpuDevice,
  ) {
    this.#dtype = setup.dtype ?? storedDtype(weights.config);
    this.geometry = geometryOf(weights, this.#dtype, setup.world);
    this.#blob = new Uint8Array(this.geometry.expertBytes);
    this.adapter = gpu.name;
    this.tuningKey = tuningKey(gpu, this.#tuneOptions);
    this.software = opened.software;
  }

  async pack(layer: number, expert: number): Promise<Uint8Array> {
    packExpert(await this.weights.expert(layer, expert), expertLayout(this.weights.config, this.#dtype), this.#blob);
    return this.#blob;
  }

  get #tuneOptions(): TuneOptions {
    return { weightDtype: this.#dtype, headDim: this.weights.config.headDim, allowF16: this.setup.activations === 'auto' };
  }

  async tune(): Promise<KernelPlan> {
    return this.setup.tune ? tunePlan(this.gpu, this.#tuneOptions) : defaultPlan(this.gpu);
  }

  /** The tuned plan, or the default one, with the operands that were asked for. */
  #plan(tuning: unknown): KernelPlan {
    const known = kernelPlanSchema.safeParse(tuning);
    const plan = known.success ? known.data : defaultPlan(this.gpu);
    if (this.setup.activations !== 'f16') return plan;
    if (!this.gpu.hasF16) throw new InputError('--activations', 'f16', `${this.adapter} has no shader-f16; expected f32 or auto`);
    return { ...plan, operands: { ...plan.operands, experts: 'f16' } };
  }

  async prepare(readers: readonly ShardReader[], tuning: unknown): Promise<void> {
    const { gpu, setup, geometry, weights } = this;
    const plan = this.#plan(tuning);
    const timestamps = this.#timestamps;
    const engine = await createEngine(gpu, weights, { ...(setup.engine as EngineOptions), plan, weightDtype: this.#dtype, timestamps });
    const stream = await createStream(setup.strategy, {
      device: gpu.device, wait: (promise) => gpu.wait(promise), createBuffer: (label, size, usage) => gpu.createBuffer(label, size, usage),
      destroyBuffer: (buffer) => gpu.destroyBuffer(buffer), rank: setup.rank, geometry, readers, bankBytes: gpu.maxBindingBytes,
      settings: this.#streamSettings,
      ...(setup.trace ? { trace: (event) => this.#traceStream(event) } : {}),
    });
    this.#prepared = { engine, stream, demand: new WorkspaceDemand(weights.config, plan, engine.chunkTokens, timestamps, engine.kv) };
  }

  get #timestamps(): boolean {
    return this.setup.trace && this.gpu.hasTimestamps;
  }

  get #streamSettings(): Partial<StreamSettings> {
    return { ...this.setup.stream, ...(this.#timestamps ? { timeCopies: true } : {}) };
  }

  get #ready(): Prepared {
    if (this.#prepared === null) throw new Error('a pass was asked for before the weights were loaded');
    return this.#prepared;
  }

  /** Twice: the first pass compiles kernels and verifies every expert's checksum, the second shows how long a gather takes. */
  async warm(): Promise<void> {
    const sequences = [new Uint32Array(32)];
    await this.forward({ sequences, candidates: null });
    this.takeStats();
    await this.forward({ sequences, candidates: Uint32Array.of(0) });
  }

  async forward(batch: RankBatch): Promise<RankOutput> {
    const { engine, stream, demand } = this.#ready;
    const { logits, stats } = await engine.forward({ sequences: batch.sequences.map((tokens) => ({ tokens })), candidates: batch.candidates }, stream);
    demand.add(batch);
    await this.#traceCompute(engine);
    const { flops, startMs, endMs } = stats;
    return { logits, width: batch.candidates?.length ?? this.weights.config.vocabSize, flops, engine: { computeMs: endMs - startMs } };
  }

  /** Copies are told with the device's times, see {@link takeStats}. */
  #traceStream(event: StreamEvent): void {
    if (event.track !== 'slot') this.hooks.trace({ ...event, pass: event.pass - WARM_PASSES });
  }

  async #traceCompute(engine: Engine): Promise<void> {
    if (!this.setup.trace) return;
    const intervals = await engine.takeIntervals();
    if (intervals.length === 0) return;
    this.#clock.sighted(Math.max(...intervals.map((interval) => interval.endMs)), performance.now());
    for (const { label, startMs, endMs } of intervals) {
      // Passes overlap, so what was read may reach into the next one; each begins with its embedding.
      if (label === 'embedding') this.#passesSeen++;
      const layer = /^layer (\d+)$/.exec(label)?.[1];
      this.hooks.trace({
        track: 'compute', name: label, startMs: this.#clock.toHost(startMs), durationMs: endMs - startMs,
        pass: this.#passesSeen - 1 - WARM_PASSES, ...(layer === undefined ? {} : { layer: Number(layer) }),
      });
    }
  }

  takeStats(): StreamStats {
    const stats = this.#ready.stream.takeStats();
    for (const { layer, pass, startNs, endNs } of stats.copies) {
      const [startMs, endMs] = [Number(startNs) / 1e6, Number(endNs) / 1e6];
      this.hooks.trace({ track: 'slot', name: `copy layer ${layer}`, startMs: this.#clock.toHost(startMs), durationMs: endMs - startMs, layer, pass: pass - WARM_PASSES });
    }
    return stats;
  }

  memory(): MemoryRow[] {
    const { gpu, setup, geometry, weights } = this;
    const experts = expertMemory(setup.strategy, { geometry, rank: setup.rank, bankBytes: gpu.maxBindingBytes, settings: this.#streamSettings });
    return compareMemory([...weightMemory(weights.config, this.#dtype), ...experts, ...this.#ready.demand.parts()], gpu.memory.byPart());
  }

  async close(): Promise<void> {
    await this.#prepared?.stream.close();
    await this.weights.close();
    this.gpu.close();
    this.opened.close();
  }
}
