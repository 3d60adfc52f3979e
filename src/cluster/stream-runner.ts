/** Passes of a rank whose experts come by weight (or are all there): a batch of its own, a stream of slots. */
import { createEngine, expertLayout, packExpert, type Engine, type EngineOptions } from '../engine/index.ts';
import type { ShardGeometry, ShardReader } from '../collective/transport.ts';
import { InputError } from '../errors.ts';
import type { KernelPlan } from '../runtime/plan.ts';
import { createStream, relayPass, type CountedStream, type StreamSettings, type StreamStrategy } from '../strategy/index.ts';
import { compareMemory, expertMemory, type MemoryRow } from '../strategy/memory.ts';
import type { StreamEvent, StreamStats } from '../strategy/stats.ts';
import type { BackendHooks, LinkStats, RankBatch, RankOutput } from './backend.ts';
import { computeEvents } from './compute-trace.ts';
import { DeviceClock } from './device-clock.ts';
import { WorkspaceDemand, weightMemory } from './engine-memory.ts';
import { WARM_PASSES, WARM_TOKENS, type Runner, type RunnerContext } from './runner.ts';

/** What `prepare` makes. */
interface Prepared {
  readonly engine: Engine;
  readonly stream: CountedStream;
  readonly demand: WorkspaceDemand;
}

export class StreamRunner implements Runner {
  readonly geometry: ShardGeometry;
  readonly shard: number;
  readonly needsMessenger = false;
  readonly #blob: Uint8Array;
  readonly #clock = new DeviceClock();
  #passesSeen = 0;
  #prepared: Prepared | null = null;
  /** Since the last call of `takeLinkStats`. */
  #link: LinkStats = NOTHING;

  constructor(
    private readonly context: RunnerContext,
    private readonly strategy: StreamStrategy,
  ) {
    const { weights: { config, modelHash }, dtype, setup } = context;
    const layers = config.layerIsMoe.flatMap((isMoe, layer) => (isMoe ? [layer] : []));
    if (layers.length === 0) throw new InputError('config.json', 'mlp_only_layers', 'leaves no layer with experts; expected a mixture-of-experts model');
    this.geometry = { modelHash, dtype, world: setup.world, numExperts: config.numExperts, expertBytes: expertLayout(config, dtype).expertBytes, layers };
    this.shard = setup.rank;
    this.#blob = new Uint8Array(this.geometry.expertBytes);
  }

  async pack(layer: number, expert: number): Promise<Uint8Array> {
    const { weights, dtype } = this.context;
    packExpert(await weights.expert(layer, expert), expertLayout(weights.config, dtype), this.#blob);
    return this.#blob;
  }

  async prepare(plan: KernelPlan, readers: readonly ShardReader[]): Promise<null> {
    const { gpu, setup, weights, dtype } = this.context;
    const timestamps = this.#timestamps;
    const engine = await createEngine(gpu, weights, { ...(setup.engine as EngineOptions), kv: setup.kv, plan, weightDtype: dtype, timestamps });
    const stream = await createStream(this.strategy, {
      device: gpu.device, wait: (promise) => gpu.wait(promise), createBuffer: (label, size, usage) => gpu.createBuffer(label, size, usage),
      destroyBuffer: (buffer) => gpu.destroyBuffer(buffer),
      rank: setup.rank, geometry: this.geometry, readers, bankBytes: gpu.maxBindingBytes,
      settings: this.#settings,
      ...(setup.trace ? { trace: (event) => this.#traceStream(event) } : {}),
    });
    this.#prepared = { engine, stream, demand: new WorkspaceDemand(weights.config, plan, engine.chunkTokens, timestamps, engine.kv) };
    return null;
  }

  get #timestamps(): boolean {
    return this.context.setup.trace && this.context.gpu.hasTimestamps;
  }

  get #settings(): Partial<StreamSettings> {
    return { ...this.context.setup.stream, ...(this.#timestamps ? { timeCopies: true } : {}) };
  }

  get #ready(): Prepared {
    if (this.#prepared === null) throw new Error('a pass was asked for before the weights were loaded');
    return this.#prepared;
  }

  async warm(): Promise<void> {
    const sequences = [new Uint32Array(WARM_TOKENS)];
    await this.forward({ sequences, candidates: null });
    this.takeStats();
    await this.forward({ sequences, candidates: Uint32Array.of(0) });
    this.#link = NOTHING;
  }

  async forward(batch: RankBatch): Promise<RankOutput> {
    const { engine, stream, demand } = this.#ready;
    const { config } = this.context.weights;
    const width = batch.candidates?.length ?? config.vocabSize;
    if (batch.sequences.length === 0) {
      await engine.between(() => relayPass(stream, this.geometry.layers, 0));
      return { logits: new Float32Array(0), width, flops: 0, expertRows: 0, engine: {} };
    }
    const { logits, stats } = await engine.forward({ sequences: batch.sequences.map((tokens) => ({ tokens })), candidates: batch.candidates }, stream);
    demand.add(batch);
    await this.#traceCompute(engine);
    const { flops, startMs, endMs, tokens, sequences } = stats;
    const moe = this.geometry.layers.reduce((rows, layer) => rows + (layer === config.numHiddenLayers - 1 ? sequences : tokens), 0);
    return { logits, width, flops, expertRows: moe * config.numExpertsPerTok, engine: { computeMs: endMs - startMs } };
  }

  /** Copies are told with the device's times, see {@link takeStats}. */
  #traceStream(event: StreamEvent): void {
    if (event.track !== 'slot') this.#trace({ ...event, pass: event.pass - WARM_PASSES });
  }

  async #traceCompute(engine: Engine): Promise<void> {
    if (!this.context.setup.trace) return;
    // Passes overlap, so what was read may reach into the next one; each begins with its embedding.
    const passOf = (label: string): number => (label === 'embedding' ? this.#passesSeen++ : this.#passesSeen - 1) - WARM_PASSES;
    for (const event of computeEvents(await engine.takeIntervals(), this.#clock, passOf)) this.#trace(event);
  }

  /** What belongs to warm-up passes is left out. */
  #trace(event: Parameters<BackendHooks['trace']>[0]): void {
    if (event.pass >= 0) this.context.hooks.trace(event);
  }

  takeStats(): StreamStats {
    const stats = this.#ready.stream.takeStats();
    for (const { layer, pass, startNs, endNs } of stats.copies) {
      const [startMs, endMs] = [Number(startNs) / 1e6, Number(endNs) / 1e6];
      this.#trace({ track: 'slot', name: `copy layer ${layer}`, startMs: this.#clock.toHost(startMs), durationMs: endMs - startMs, layer, pass: pass - WARM_PASSES });
    }
    const { gatherMs, exposedMs, hostBytes, gathers } = stats.total;
    // Peers read this rank's shard as often as this rank reads theirs.
    const { world, rank } = this.context.setup;
    const own = Math.floor(this.geometry.numExperts / world) + (rank < this.geometry.numExperts % world ? 1 : 0);
    const moves = this.strategy !== 'resident';
    this.#link = {
      sentBytes: this.#link.sentBytes + (moves ? gathers * own * this.geometry.expertBytes * (world - 1) : 0),
      receivedBytes: this.#link.receivedBytes + (moves ? hostBytes : 0),
      transferMs: this.#link.transferMs + gatherMs,
      exposedMs: this.#link.exposedMs + exposedMs,
    };
    return stats;
  }

  takeLinkStats(): LinkStats {
    const link = this.#link;
    this.#link = NOTHING;
    return link;
  }

  memory(): MemoryRow[] {
    const { gpu, setup, weights, dtype } = this.context;
    const experts = expertMemory(this.strategy, { geometry: this.geometry, rank: setup.rank, bankBytes: gpu.maxBindingBytes, settings: this.#settings });
    return compareMemory([...weightMemory(weights.config, dtype), ...experts, ...this.#ready.demand.parts()], gpu.memory.byPart());
  }

  async close(): Promise<void> {
    await this.#prepared?.stream.close();
  }
}

const NOTHING: LinkStats = { sentBytes: 0, receivedBytes: 0, transferMs: 0, exposedMs: 0 };
