/** Passes of a rank that computes every batch together with all others: activations travel, its part of the model stays. */
import type { Messenger } from '../collective/messenger.ts';
import type { ShardGeometry, ShardReader } from '../collective/transport.ts';
import { maxBatchTokens } from '../engine/workspace.ts';
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';
import type { KernelPlan } from '../runtime/plan.ts';
import type { SlotStream } from '../engine/slot-stream.ts';
import type { TransferPlace } from '../engine/split/activity.ts';
import { createStream, SharedStream, type CountedStream, type ExchangeEvent, type RowStrategyDefinition } from '../strategy/index.ts';
import { compareMemory, expertMemory, type MemoryPart, type MemoryRow } from '../strategy/memory.ts';
import { createRowRank, localExperts, type LocalExperts, type RowRank } from '../strategy/row-rank.ts';
import { StreamCounter, type StreamStats } from '../strategy/stats.ts';
import { EXCHANGE_NAMES } from '../trace/exchange-names.ts';
import type { BatchRoom, LinkStats, RankBatch, RankOutput } from './backend.ts';
import { computeEvents } from './compute-trace.ts';
import { DeviceClock } from './device-clock.ts';
import { splitMemory, stageMemory, weightMemory, WorkspaceDemand } from './engine-memory.ts';
import { bestRate, measuredSequences, WARM_PASSES, WARM_TOKENS, type Runner, type RunnerContext } from './runner.ts';

/** Numbers of warm-up passes, out of the way of real ones. */
const WARM_PASS = 0xffff_ff00;

interface Prepared {
  readonly rank: RowRank;
  readonly stream: CountedStream;
  /** Of a stage of a pipeline. */
  readonly demand: WorkspaceDemand;
  readonly room: BatchRoom;
}

export class RowRunner implements Runner {
  readonly geometry: ShardGeometry;
  /** What a rank keeps is a world of its own. */
  readonly shard = 0;
  readonly needsMessenger: boolean;
  readonly #local: LocalExperts;
  readonly #clock = new DeviceClock();
  #prepared: Prepared | null = null;

  constructor(
    private readonly context: RunnerContext,
    private readonly definition: RowStrategyDefinition,
  ) {
    const { weights, dtype, setup } = context;
    this.#local = localExperts(definition, weights, setup.rank, setup.world, dtype);
    this.geometry = this.#local.geometry;
    this.needsMessenger = setup.world > 1;
  }

  pack(layer: number, expert: number): Promise<Uint8Array> {
    return this.#local.pack(layer, expert);
  }

  async prepare(plan: KernelPlan, readers: readonly ShardReader[], messenger: Messenger | null): Promise<number> {
    const { gpu, setup, weights, dtype, hooks } = this.context;
    const stream = await createStream(this.#streamStrategy, {
      device: gpu.device, wait: (promise) => gpu.wait(promise), createBuffer: (label, size, usage) => gpu.createBuffer(label, size, usage),
      rank: 0, geometry: this.geometry, readers, bankBytes: gpu.maxBindingBytes, settings: setup.stream,
    });
    const { chunkTokens } = setup.engine as { chunkTokens?: number };
    const rank = await createRowRank({
      gpu, definition: this.definition, weights, view: this.#local.view, messenger: messenger ?? alone, passStream: this.#passStreams(stream), weightDtype: dtype, plan,
      wire: setup.wire, dispatch: setup.dispatch, kv: setup.kv, timestamps: setup.trace && gpu.hasTimestamps, ...(chunkTokens && { chunkTokens }),
      ...(setup.trace && {
        onExchange: (event: ExchangeEvent) => this.#traceExchange(event),
        onExposed: (startMs: number, endMs: number, { pass, layer }: TransferPlace) => {
          if (pass >= WARM_PASS) return;
          const name = layer === undefined ? `wait for rows of pass ${pass}` : `wait for rows of layer ${layer}`;
          hooks.trace({ track: 'wait', name, startMs, durationMs: endMs - startMs, pass, ...(layer === undefined ? {} : { layer }) });
        },
      }),
    });
    const timestamps = setup.trace && gpu.hasTimestamps;
    // As if the rank had all heads: those that split them hold more.
    const most = maxBatchTokens(this.#local.view.config, plan, { maxBindingBytes: gpu.maxBindingBytes, maxBufferBytes: gpu.device.limits.maxBufferSize }, setup.kv);
    const room = { maxBatchBlocks: Math.floor(most / BLOCK_TOKENS), cacheBlocks: 0 };
    this.#prepared = { rank, stream, room, demand: new WorkspaceDemand(this.#local.view.config, plan, rank.chunkTokens, timestamps, setup.kv) };
    return rank.chunkTokens;
  }

  /** Own experts stay on the device, or come back from host memory. */
  get #streamStrategy(): 'resident' | 'asyncep' {
    return (this.context.setup.stream.offloadLayers ?? 0) > 0 ? 'asyncep' : 'resident';
  }

  /** Resident experts are there for all passes; a window of slots goes through the layers once for all that are under way together. */
  #passStreams(stream: CountedStream): (together: number) => SlotStream {
    if (this.#streamStrategy === 'resident' || this.definition.kind === 'stages') return () => stream;
    const shared = new SharedStream(stream);
    return (together) => shared.pass(together);
  }

  get #ready(): Prepared {
    if (this.#prepared === null) throw new Error('a pass was asked for before the weights were loaded');
    return this.#prepared;
  }

  async warm(chunkTokens: number | null): Promise<void> {
    if (chunkTokens !== null) this.#ready.rank.chunkTokens = chunkTokens;
    const lengths = this.#alike([WARM_TOKENS]);
    const sequences = [new Uint32Array(WARM_TOKENS)];
    for (let pass = 0; pass < WARM_PASSES; pass++) {
      await this.forward({ sequences, lengths, candidates: pass === 0 ? null : Uint32Array.of(0) }, WARM_PASS + pass);
    }
    this.takeStats();
    this.takeLinkStats();
  }

  /** Lengths of a pass in which all ranks have the same. */
  #alike(lengths: number[]): number[][] {
    const ofAll = this.definition.kind === 'stages' || this.definition.attention === 'heads';
    return ofAll ? [lengths] : Array.from({ length: this.context.setup.world }, () => lengths);
  }

  async measure(tokens: number): Promise<number> {
    const rate = await bestRate(async (pass) => {
      const sequences = measuredSequences(tokens, pass, this.context.weights.config);
      const { flops } = await this.forward({ sequences, lengths: this.#alike(sequences.map(({ length }) => length)), candidates: Uint32Array.of(0) }, WARM_PASS + WARM_PASSES + pass);
      return flops;
    });
    this.takeStats();
    this.takeLinkStats();
    return rate;
  }

  room(): BatchRoom {
    return this.#ready.room;
  }

  async forward({ sequences, candidates, lengths = [], together = 1 }: RankBatch, pass: number): Promise<RankOutput> {
    const { rank, demand } = this.#ready;
    demand.add({ sequences, candidates });
    const { logits, sequences: rows, flops, expertRows, startMs, endMs } = await rank.forward({ pass, sequences, lengths, candidates, together });
    if (this.context.setup.trace) {
      for (const event of computeEvents(await rank.takeIntervals(), this.#clock, () => pass, this.#local.firstLayer)) if (event.pass < WARM_PASS) this.context.hooks.trace(event);
    }
    return { logits, width: candidates?.length ?? this.context.weights.config.vocabSize, rows, flops, expertRows, engine: { computeMs: endMs - startMs } };
  }

  #traceExchange({ op, pass, layer, startMs, endMs, sentBytes, receivedBytes }: ExchangeEvent): void {
    if (pass >= WARM_PASS) return;
    const event = { name: op === 'stage' ? `rows of pass ${pass}` : `${EXCHANGE_NAMES[op]} layer ${layer}`, startMs, durationMs: endMs - startMs, pass, ...(op === 'stage' ? {} : { layer }) };
    if (sentBytes > 0) this.context.hooks.trace({ ...event, track: 'send', bytes: sentBytes });
    if (receivedBytes > 0) this.context.hooks.trace({ ...event, track: 'receive', bytes: receivedBytes });
  }

  takeStats(): StreamStats {
    return this.#prepared?.stream.takeStats() ?? new StreamCounter().take();
  }

  takeLinkStats(): LinkStats {
    const { transferMs, exposedMs, bytes } = this.#ready.rank.takeActivity();
    const sum = (key: 'sentBytes' | 'receivedBytes'): number => Object.values(bytes).reduce((total, counts) => total + counts[key], 0);
    return { transferMs, exposedMs, sentBytes: sum('sentBytes'), receivedBytes: sum('receivedBytes') };
  }

  memory(): MemoryRow[] {
    const { gpu, setup } = this.context;
    const experts = this.geometry.layers.length === 0 ? [] : expertMemory(this.#streamStrategy, { geometry: this.geometry, rank: 0, bankBytes: gpu.maxBindingBytes, settings: setup.stream });
    return compareMemory([...this.#computed(), ...experts], gpu.memory.byPart());
  }

  /** Weights and workspace. */
  #computed(): MemoryPart[] {
    const { gpu, setup: { rank: own, world, trace }, dtype } = this.context;
    const { config } = this.#local.view;
    const { rank, demand } = this.#ready;
    const bytes = rank.workspaceBytes();
    if (this.definition.kind === 'split') return [...weightMemory(config, dtype), ...splitMemory(bytes, trace && gpu.hasTimestamps)];
    return [...weightMemory(config, dtype, { embedding: own === 0, head: own === world - 1 }), ...stageMemory(demand.parts(), bytes, world + 1)];
  }

  async close(): Promise<void> {
    await this.#prepared?.stream.close();
  }
}

/** The messenger of a rank that has no peers. */
const alone: Messenger = {
  rank: 0, world: 1,
  send: () => Promise.reject(new Error('a world of one has no peers')),
  receive: () => Promise.reject(new Error('a world of one has no peers')),
  transferred: () => ({ sentBytes: 0, receivedBytes: 0 }),
  close: () => Promise.resolve(),
};
