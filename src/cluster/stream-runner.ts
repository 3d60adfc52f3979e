/** Passes of a rank whose experts come by weight (or are all there): a batch of its own, a stream of slots. */
import { askedRows } from '../engine/batch.ts';
import { createEngine, expertLayout, packExpert, type Engine, type EngineOptions, type Sequence } from '../engine/index.ts';
import type { ShardGeometry, ShardReader } from '../collective/transport.ts';
import { InputError } from '../errors.ts';
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';
import type { KernelPlan } from '../runtime/plan.ts';
import { createStream, relayPass, type CountedStream, type StreamSettings, type StreamStrategy } from '../strategy/index.ts';
import { compareMemory, expertMemory, type MemoryRow } from '../strategy/memory.ts';
import type { StreamEvent, StreamStats } from '../strategy/stats.ts';
import type { BackendHooks, BatchRoom, LinkStats, RankBatch, RankOutput } from './backend.ts';
import { computeEvents } from './compute-trace.ts';
import { DeviceClock } from './device-clock.ts';
import { prefixMemory, WorkspaceDemand, weightMemory } from './engine-memory.ts';
import { bestRate, MEASURED_PASSES, measuredSequences, WARM_PASSES, WARM_TOKENS, type Runner, type RunnerContext } from './runner.ts';

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
  /** Passes before the first real one. */
  #warmPasses = WARM_PASSES;
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
    this.#prepared = { engine, stream, demand: new WorkspaceDemand(weights.config, plan, engine.chunkTokens, timestamps, engine.kv, gpu.maxBindingBytes) };
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
    await this.#ready.engine.clearCache();
    this.#link = NOTHING;
  }

  async measure(tokens: number): Promise<number> {
    this.#warmPasses += MEASURED_PASSES;
    const rate = await bestRate(async (pass) => {
      const { flops } = await this.forward({ sequences: measuredSequences(tokens, pass, this.context.weights.config), candidates: Uint32Array.of(0) });
      return flops;
    });
    await this.#ready.engine.clearCache();
    this.takeStats();
    this.#link = NOTHING;
    return rate;
  }

  room(): BatchRoom {
    const { engine } = this.#ready;
    return { maxBatchBlocks: Math.floor(engine.maxBatchTokens / BLOCK_TOKENS), cacheBlocks: engine.cacheBlocks };
  }

  async forward(batch: RankBatch): Promise<RankOutput> {
    return this.#forward(batch).catch(async (error: unknown) => {
      // Nothing was recorded of a batch that is refused; peers whose bytes go round through this rank have begun the pass.
      if (error instanceof InputError && this.#relays) await this.#relay();
      throw error;
    });
  }

  /** Whether bytes of peers go through this rank during a pass. */
  get #relays(): boolean {
    return this.context.setup.transport === 'websocket' && this.strategy !== 'resident';
  }

  #relay(): Promise<void> {
    const { engine, stream } = this.#ready;
    this.#passesSeen++; // the stream counts it as a pass
    return engine.between(() => relayPass(stream, this.geometry.layers, 0));
  }

  async #forward(batch: RankBatch): Promise<RankOutput> {
    const { engine, stream, demand } = this.#ready;
    const { config } = this.context.weights;
    const width = batch.candidates?.length ?? config.vocabSize;
    if (batch.sequences.length === 0) {
      await this.#relay();
      return { logits: new Float32Array(0), width, flops: 0, expertRows: 0, engine: {} };
    }
    const asked = batch.sequences.map((tokens, i): Sequence => ({ tokens, scored: batch.scored?.[i] ?? 0 }));
    const { logits, stats, ...rest } = await engine.forward({ sequences: asked, candidates: batch.candidates, top: batch.top ?? 0 }, stream);
    demand.add(batch, engine.kv === 'cache' ? { ...stats, cachedTokens: rest.cachedTokens } : undefined);
    await this.#traceCompute(engine);
    const { flops, startMs, endMs, tokens } = stats;
    const rows = asked.reduce((sum, sequence) => sum + askedRows(sequence), 0);
    const moe = this.geometry.layers.reduce((sum, layer) => sum + (layer === config.numHiddenLayers - 1 ? rows : tokens), 0);
    return { logits, width, ...rest, flops, expertRows: moe * config.numExpertsPerTok, engine: { computeMs: endMs - startMs } };
  }

  /** Copies are told with the device's times, see {@link takeStats}. */
  #traceStream(event: StreamEvent): void {
    if (event.track !== 'slot') this.#trace({ ...event, pass: event.pass - this.#warmPasses });
  }

  async #traceCompute(engine: Engine): Promise<void> {
    if (!this.context.setup.trace) return;
    // Passes overlap, so what was read may reach into the next one; each begins with its embedding.
    const passOf = (label: string): number => (label === 'embedding' ? this.#passesSeen++ : this.#passesSeen - 1) - this.#warmPasses;
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
      this.#trace({ track: 'slot', name: `copy layer ${layer}`, startMs: this.#clock.toHost(startMs), durationMs: endMs - startMs, layer, pass: pass - this.#warmPasses });
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
    const { engine, demand } = this.#ready;
    return compareMemory([...weightMemory(weights.config, dtype), ...experts, ...prefixMemory(weights.config, engine.plan, engine.cacheBlocks), ...demand.parts()], gpu.memory.byPart());
  }

  async close(): Promise<void> {
    await this.#prepared?.stream.close();
  }
}

const NOTHING: LinkStats = { sentBytes: 0, receivedBytes: 0, transferMs: 0, exposedMs: 0 };
