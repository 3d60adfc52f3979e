/** One rank of a strategy in which rows travel: its part of the model, an engine for it, and its neighbours. */
import type { Messenger } from '../collective/messenger.ts';
import type { ShardGeometry } from '../collective/transport.ts';
import { createEngine, expertLayout, packExpert, type Engine, type KvMode } from '../engine/index.ts';
import { Activity, type OnExposed } from '../engine/split/activity.ts';
import { SplitEngine, type SplitResult } from '../engine/split/engine.ts';
import type { ExchangeStep } from '../engine/split/exchange.ts';
import { splitShape, type Dispatch } from '../engine/split/shape.ts';
import type { SlotStream } from '../engine/slot-stream.ts';
import type { ModelWeights } from '../model/types.ts';
import type { GpuDevice } from '../runtime/device.ts';
import type { WireDtype } from '../runtime/kernels/exchange.ts';
import type { PackedDtype } from '../runtime/layout.ts';
import type { KernelPlan } from '../runtime/plan.ts';
import type { DeviceInterval } from '../runtime/timestamps.ts';
import type { RowStrategyDefinition } from './model-part.ts';
import { MessengerExchange, type ExchangeBytes, type ExchangeEvent } from './row-exchange.ts';

/** What a rank keeps: experts of its own only, as a world of one. */
export interface LocalExperts {
  /** Of the rank's part: `numExperts` are its own, layers count from its first. */
  readonly geometry: ShardGeometry;
  /** The part as a model. */
  readonly view: ModelWeights;
  /** The model's layer that is the part's first. */
  readonly firstLayer: number;
  /** Packed bytes of one of them. */
  pack(layer: number, expert: number): Promise<Uint8Array>;
}

/** @throws InputError when the model cannot be split so */
export function localExperts(definition: RowStrategyDefinition, weights: ModelWeights, rank: number, world: number, dtype: PackedDtype): LocalExperts {
  const part = definition.part(weights.config, rank, world);
  const view = part.view(weights);
  const own = part.owned?.[rank] ?? { first: 0, count: weights.config.numExperts };
  const layout = expertLayout(view.config, dtype);
  const blob = new Uint8Array(layout.expertBytes);
  const layers = view.config.layerIsMoe.flatMap((isMoe, layer) => (isMoe ? [layer] : []));
  return {
    view, firstLayer: part.firstLayer ?? 0,
    geometry: { modelHash: weights.modelHash, dtype, world: 1, numExperts: own.count, expertBytes: layout.expertBytes, layers },
    pack: async (layer, expert) => {
      packExpert(await view.expert(layer, own.first + expert), layout, blob);
      return blob;
    },
  };
}

/** A batch that all ranks are given. */
export interface RowBatch {
  /** The cluster's number of the pass; all ranks run passes in the same order. */
  readonly pass: number;
  /** Of this rank (attention data parallel), or of all. */
  readonly sequences: readonly Uint32Array[];
  /** Lengths of each rank's sequences, or one list. */
  readonly lengths: readonly (readonly number[])[];
  readonly candidates: Uint32Array | null;
  /** Passes that have each layer's experts brought in once for all of them: this one and its neighbours; the same for each of them. Default 1. */
  readonly together?: number;
}

export interface RowRankOptions {
  readonly gpu: GpuDevice;
  readonly definition: RowStrategyDefinition;
  readonly weights: ModelWeights;
  readonly view: ModelWeights;
  readonly messenger: Messenger;
  /** The stream of the rank's own experts, for one pass of `together`; asked for in the order of the passes. */
  readonly passStream: (together: number) => SlotStream;
  readonly weightDtype: PackedDtype;
  readonly wire: WireDtype;
  readonly dispatch: Dispatch;
  readonly plan?: KernelPlan;
  readonly kv?: KvMode;
  readonly chunkTokens?: number;
  readonly timestamps?: boolean;
  readonly onExchange?: (event: ExchangeEvent) => void;
  readonly onExposed?: OnExposed;
}

export interface RowRank {
  /** Most tokens of a chunk here; the ranks agree on the smallest. */
  chunkTokens: number;
  /** Calls may overlap. @throws RankError naming a rank that is missing */
  forward(batch: RowBatch): Promise<SplitResult>;
  /** Since the last call. */
  takeActivity(): { transferMs: number; exposedMs: number; bytes: ExchangeBytes };
  takeIntervals(): Promise<DeviceInterval[]>;
  /** Workspace by its parts, bytes: what the engine computes from the largest batches so far. */
  workspaceBytes(): Readonly<Record<string, number>>;
}

export async function createRowRank(options: RowRankOptions): Promise<RowRank> {
  const exchange = new MessengerExchange(options.messenger, options.onExchange);
  const activity = new Activity(options.onExposed);
  const engine = await (options.definition.kind === 'split' ? splitRank(options, options.definition, exchange, activity) : stageRank(options, exchange, activity));
  return Object.assign(engine, { takeActivity: () => ({ ...activity.take(), bytes: exchange.takeBytes() }) });
}

type EngineOfRank = Omit<RowRank, 'takeActivity'>;

async function splitRank(options: RowRankOptions, definition: Extract<RowStrategyDefinition, { kind: 'split' }>, exchange: MessengerExchange, activity: Activity): Promise<EngineOfRank> {
  const { gpu, weights, view, wire, dispatch, passStream, weightDtype, plan, kv, chunkTokens, timestamps } = options;
  const { numExperts, numExpertsPerTok: topK } = weights.config;
  const { rank, world } = exchange;
  const { owned } = definition.part(weights.config, rank, world);
  const shape = splitShape({ rank, world, attention: definition.attention, wire, dispatch, numExperts, topK, ...(owned && { owned }) });
  const engine = await SplitEngine.create(gpu, view, shape, exchange, {
    weightDtype, activity, ...(plan && { plan }), ...(kv && { kv }), ...(chunkTokens && { chunkTokens }), ...(timestamps && { timestamps }),
  });
  return {
    get chunkTokens() { return engine.chunkTokens; },
    set chunkTokens(tokens: number) { engine.chunkTokens = tokens; },
    forward: ({ sequences, together = 1, ...batch }) => engine.forward({ ...batch, sequences: sequences.map((tokens) => ({ tokens })) }, passStream(together)),
    takeIntervals: () => engine.takeIntervals(),
    workspaceBytes: () => ({ ...engine.memory() }),
  };
}

async function stageRank(options: RowRankOptions, exchange: MessengerExchange, activity: Activity): Promise<EngineOfRank> {
  const { gpu, view, wire, passStream, weightDtype, plan, kv, chunkTokens, timestamps } = options;
  const { rank, world } = exchange;
  const step = (pass: number): ExchangeStep => ({ op: 'stage', pass, step: 0, layer: 0 });
  const engine: Engine = await createEngine(gpu, view, {
    weightDtype, ...(plan && { plan }), ...(kv && { kv }), ...(chunkTokens && { chunkTokens }), ...(timestamps && { timestamps }),
    stage: {
      wire,
      computing: (promise) => activity.compute(promise),
      ...(rank > 0 && { receive: (pass: number, into: Uint8Array) => activity.transfer(exchange.receive(rank - 1, step(pass), into), { pass }) }),
      ...(rank < world - 1 && { send: (pass: number, bytes: Uint8Array) => activity.transfer(exchange.send(rank + 1, step(pass), bytes), { pass }) }),
    },
  });
  return {
    chunkTokens: engine.chunkTokens,
    forward: async ({ pass, sequences, candidates }) => {
      const { logits, stats } = await engine.forward({ sequences: sequences.map((tokens) => ({ tokens })), candidates }, passStream(1), pass);
      const isLast = rank === world - 1;
      return {
        logits, sequences: isLast ? [...sequences.keys()] : [], flops: stats.flops, expertRows: expertRowsOf(view, sequences, isLast),
        startMs: stats.startMs, endMs: stats.endMs,
      };
    },
    takeIntervals: () => engine.takeIntervals(),
    workspaceBytes: () => ({ 'wire rows': engine.stageBytes }),
  };
}

/** (row, expert) pairs of a stage: all tokens in every MoE layer, in the model's last one only last tokens. */
function expertRowsOf({ config }: ModelWeights, sequences: readonly Uint32Array[], isLast: boolean): number {
  const tokens = sequences.reduce((sum, { length }) => sum + length, 0);
  const lastLayer = config.numHiddenLayers - 1;
  return config.layerIsMoe.reduce((sum, isMoe, layer) => sum + (isMoe ? (isLast && layer === lastLayer ? sequences.length : tokens) * config.numExpertsPerTok : 0), 0);
}
