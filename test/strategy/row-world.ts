/** All ranks of a strategy that moves rows, in one process: every one with its part of the model, on devices of the test's choice. */
import { InProcessHub } from '../../src/collective/in-process.ts';
import { InProcessWorld } from '../../src/collective/in-process-messenger.ts';
import { createEngine, type KvMode } from '../../src/engine/index.ts';
import type { SlotStream } from '../../src/engine/slot-stream.ts';
import type { Dispatch } from '../../src/engine/split/shape.ts';
import type { Messenger } from '../../src/collective/messenger.ts';
import type { ModelWeights } from '../../src/model/types.ts';
import type { GpuDevice } from '../../src/runtime/device.ts';
import type { WireDtype } from '../../src/runtime/kernels/exchange.ts';
import type { KernelPlan } from '../../src/runtime/plan.ts';
import { createStream, rowStrategy, SharedStream, type CountedStream, type RowStrategy } from '../../src/strategy/index.ts';
import { createRowRank, localExperts, type RowRank } from '../../src/strategy/row-rank.ts';
import type { ExchangeEvent } from '../../src/strategy/row-exchange.ts';
import type { RowStrategyDefinition } from '../../src/strategy/model-part.ts';
import { localSlots } from '../engine/local-slots.ts';
import { relativeError } from './golden.ts';

export interface RowWorldOptions {
  readonly weights: ModelWeights;
  readonly strategy: RowStrategy;
  readonly world: number;
  /** One for each rank in turn. */
  readonly gpus: readonly GpuDevice[];
  readonly wire?: WireDtype;
  readonly dispatch?: Dispatch;
  readonly chunkTokens?: number;
  readonly offloadLayers?: number;
  readonly kv?: KvMode;
  readonly plan?: KernelPlan;
  readonly onExchange?: (rank: number, event: ExchangeEvent) => void;
}

export interface RowWorld {
  readonly ranks: readonly RowRank[];
  readonly messengers: readonly Messenger[];
  /** Logits of each sequence, from whichever rank has them. */
  run(pass: number, sequences: readonly Uint32Array[], candidates: Uint32Array | null, together?: number): Promise<Float32Array[]>;
  close(): Promise<void>;
}

/** Sequences of each rank, dealt out in turn. */
export const dealt = <T>(sequences: readonly T[], world: number): T[][] =>
  Array.from({ length: world }, (_, rank) => sequences.filter((__, i) => i % world === rank));

/** One stream for all passes where experts stay, or come for one pass after the other; else one that passes under way together share. */
function passStreams(stream: CountedStream, shared: boolean): (together: number) => SlotStream {
  if (!shared) return () => stream;
  const rounds = new SharedStream(stream);
  return (together) => rounds.pass(together);
}

export async function openRowWorld({ weights, strategy, world, gpus, wire = 'f32', dispatch = 'rank', chunkTokens, offloadLayers = 0, kv, plan, onExchange }: RowWorldOptions): Promise<RowWorld> {
  const definition = rowStrategy(strategy) as RowStrategyDefinition;
  const meeting = new InProcessWorld(world, { deadlineMs: 30_000 });
  const messengers = Array.from({ length: world }, (_, rank) => meeting.messenger(rank));
  const streams: { close(): Promise<void> }[] = [];
  const ranks: RowRank[] = [];
  for (const [rank, messenger] of messengers.entries()) {
    const gpu = gpus[rank % gpus.length] as GpuDevice;
    const { geometry, view, pack } = localExperts(definition, weights, rank, world, 'f32');
    const transport = new InProcessHub().transport(0);
    const reader = await transport.open(0, await transport.publish(geometry, pack), geometry);
    const stream = await createStream(offloadLayers > 0 ? 'asyncep' : 'resident', {
      device: gpu.device, wait: (promise) => gpu.wait(promise), createBuffer: (label, size, usage) => gpu.createBuffer(label, size, usage),
      rank: 0, geometry, readers: [reader], bankBytes: 3 * geometry.expertBytes, settings: { offloadLayers },
    });
    streams.push(stream);
    const passStream = passStreams(stream, offloadLayers > 0 && definition.kind === 'split');
    ranks.push(await createRowRank({ gpu, definition, weights, view, messenger, passStream, weightDtype: 'f32', wire, dispatch, ...(chunkTokens && { chunkTokens }), ...(kv && { kv }), ...(plan && { plan }), onExchange: (event) => onExchange?.(rank, event) }));
  }
  const chunk = Math.min(...ranks.map((rank) => rank.chunkTokens));
  for (const rank of ranks) rank.chunkTokens = chunk;
  const ownSequences = definition.kind === 'split' && definition.attention === 'data';
  return {
    ranks,
    messengers,
    run: async (pass, sequences, candidates, together = 1) => {
      const parts = ownSequences ? dealt(sequences, world) : [[...sequences]];
      const lengths = parts.map((part) => part.map(({ length }) => length));
      const logits: Float32Array[] = sequences.map(() => new Float32Array(0));
      await Promise.all(ranks.map(async (rank, r) => {
        const result = await rank.forward({ pass, sequences: (ownSequences ? parts[r] : sequences) as Uint32Array[], lengths, candidates, together });
        const width = result.logits.length / Math.max(1, result.sequences.length);
        for (const [row, index] of result.sequences.entries()) {
          logits[ownSequences ? index * world + r : index] = result.logits.slice(row * width, (row + 1) * width);
        }
      }));
      return logits;
    },
    close: async () => {
      for (const stream of streams) await stream.close();
      for (const messenger of messengers) await messenger.close();
    },
  };
}

/** Logits of every sequence of a batch. */
export type Answer = (sequences: readonly Uint32Array[], candidates: Uint32Array | null) => Promise<Float32Array[]>;

/** One device that holds everything. */
export async function oneDevice(gpu: GpuDevice, weights: ModelWeights, plan?: KernelPlan): Promise<Answer> {
  const engine = await createEngine(gpu, weights, { weightDtype: 'f32', ...(plan && { plan }) });
  const stream = await localSlots(gpu, weights, 'f32');
  return async (sequences, candidates) => {
    const { logits } = await engine.forward({ sequences: sequences.map((tokens) => ({ tokens })), candidates }, stream);
    const width = logits.length / sequences.length;
    return sequences.map((_, i) => logits.slice(i * width, (i + 1) * width));
  };
}

/** Logits of one batch on one device that holds everything. */
export const undivided = async (gpu: GpuDevice, weights: ModelWeights, sequences: readonly Uint32Array[], candidates: Uint32Array | null): Promise<Float32Array[]> =>
  (await oneDevice(gpu, weights))(sequences, candidates);

/** Logits of `passes` passes over the same batch, all under way at the same time. */
export async function logitsOf(options: RowWorldOptions, sequences: readonly Uint32Array[], candidates: Uint32Array | null, passes = 1): Promise<Float32Array[][]> {
  const world = await openRowWorld(options);
  try {
    return await Promise.all(Array.from({ length: passes }, (_, pass) => world.run(pass, sequences, candidates, passes)));
  } finally {
    await world.close();
  }
}

/** The largest relative error of any sequence; infinite where one has no logits. */
export const worst = (actual: readonly Float32Array[], expected: readonly Float32Array[]): number =>
  Math.max(...expected.map((logits, i) => (actual[i]?.length === logits.length ? relativeError(actual[i] as Float32Array, logits) : Infinity)));
