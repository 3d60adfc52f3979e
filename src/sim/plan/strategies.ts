/** What each strategy would do: fit or not, what it sends, and what the cost model predicts (src/sim/cost.ts). */
import { InputError } from '../../errors.ts';
import { layerExpertBytes } from '../../model/flops.ts';
import { requestFlops } from '../../serving/request-flops.ts';
import { predictRun } from '../cost.ts';
import { BASELINES, SIM_STRATEGIES, type RunShape, type SimStrategy } from '../run-shape.ts';
import { cutFor } from './cut.ts';
import { deviceMemory, fewestDevices, largestBatch, longestContext, totalBytes, usableBytes, type DeviceMemory, type PlannedBatch } from './memory.ts';
import { ratesOf, type PlanSetting } from './setting.ts';
import { layerTraffic, type Traffic } from './traffic.ts';

/** Rows between devices in 16 bits. */
const WIRE = { wire: 'bf16', rowElementBytes: 2 } as const;

export interface PlanWork {
  /** Tokens of each sequence. */
  readonly lengths: readonly number[];
  readonly batchTokens: number;
}

export interface StrategyPlan {
  readonly strategy: SimStrategy;
  /** null: it fits; otherwise why not. */
  readonly reason: string | null;
  /** null where the model cannot be split so. */
  readonly memory: DeviceMemory | null;
  readonly memoryBytes: number | null;
  readonly largestBatchTokens: number | null;
  /** By memory alone: the model may have been trained for less. */
  readonly longestContextTokens: number | null;
  readonly fewestDevices: number | null;
  readonly traffic: Traffic;
  readonly predicted: Predicted | null;
}

export interface Predicted {
  readonly wallMs: number;
  readonly tokensPerSecond: number;
  /** True FLOPs over time and peak of all devices. */
  readonly mfu: number;
  /** Mean over devices: transfers under way and nothing to compute. */
  readonly exposedMs: number;
  /** Neither. */
  readonly idleMs: number;
  /** Of a device, mean over layers, for a batch on each device: with a row sent once to each rank that has experts of its token. */
  readonly sentBytesPerLayer: number;
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** Why a strategy is out of the question on so many devices, whatever the memory. */
export function unsuited({ ranks, offload }: PlanSetting, strategy: SimStrategy): string | null {
  if (BASELINES.includes(strategy) && ranks === 1) return 'takes at least 2 devices';
  if (offload > 0 && strategy === 'resident') return 'keeps every expert on the device and has nothing to bring in';
  return null;
}

function memoryOf(setting: PlanSetting, strategy: SimStrategy, batch: PlannedBatch): { readonly memory: DeviceMemory | null; readonly reason: string | null } {
  try {
    const memory = deviceMemory(setting, strategy, batch);
    const total = totalBytes(memory);
    return { memory, reason: total <= usableBytes(setting) ? null : `needs ${gigabytes(total)} of ${gigabytes(usableBytes(setting))} usable` };
  } catch (error) {
    if (error instanceof InputError) return { memory: null, reason: error.message };
    throw error;
  }
}

/** What the simulator is asked, without the strategy. */
export function runShape(setting: PlanSetting, { lengths, batchTokens }: PlanWork): Omit<RunShape, 'strategy'> {
  const { config, ranks, offload } = setting;
  const { achievedFlopsPerSecond, weightBytes, link, hostBytesPerSecond } = ratesOf(setting);
  return {
    config, ranks, lengths, batchTokens, candidates: 1, flopsPerSecond: achievedFlopsPerSecond, link, wire: WIRE.wire, weightBytes, dispatch: 'rank',
    ...(offload > 0 && { offload: { layers: offload }, hostBytesPerSecond }),
  };
}

/** FLOPs of all sequences, as the engine computes them. */
const flopsOf = (config: PlanSetting['config'], lengths: readonly number[]): number => {
  const flops = requestFlops(config);
  return lengths.reduce((sum, newTokens) => sum + flops({ newTokens, candidates: 1 }), 0);
};

/** Of a run of some of the layers; times, and bytes that a device sends, are means over devices. */
interface LayersRun {
  readonly layers: number;
  readonly flops: number;
  readonly wallMs: number;
  readonly exposedMs: number;
  readonly idleMs: number;
  readonly sentBytes: number;
}

function runLayers(setting: PlanSetting, work: PlanWork, strategy: SimStrategy): LayersRun {
  const { config, ranks } = setting;
  const { wallMs, ranks: devices } = predictRun({ ...runShape(setting, work), strategy });
  const mean = (key: 'exposedMs' | 'idleMs' | 'sentBytes'): number => devices.reduce((sum, device) => sum + device[key], 0) / ranks;
  return { layers: config.numHiddenLayers - 1, flops: flopsOf(config, work.lengths), wallMs, exposedMs: mean('exposedMs'), idleMs: mean('idleMs'), sentBytes: mean('sentBytes') };
}

const less = (a: LayersRun, b: LayersRun): LayersRun => ({
  layers: a.layers - b.layers, flops: a.flops - b.flops, wallMs: a.wallMs - b.wallMs, exposedMs: a.exposedMs - b.exposedMs, idleMs: a.idleMs - b.idleMs, sentBytes: a.sentBytes - b.sentBytes,
});

/** By some layers that stand for all ({@link cutFor}): what they reach of the peak, all reach. */
export function predict(setting: PlanSetting, work: PlanWork, strategy: SimStrategy): Predicted {
  const { config, ranks } = setting;
  const { long, short } = cutFor(setting, strategy);
  const longer = runLayers({ ...setting, config: long }, work, strategy);
  const run = short === null ? longer : less(longer, runLayers({ ...setting, config: short }, work, strategy));
  const wallMs = (run.wallMs * flopsOf(config, work.lengths)) / run.flops;
  const tokens = work.lengths.reduce((sum, length) => sum + length, 0);
  // Next to nothing travels for the last layer's few rows, or for the first layer, which is never gathered: one of the layers is not like the others.
  const sentBytes = (run.sentBytes / Math.max(1, run.layers)) * ((config.numHiddenLayers - 1) / config.numHiddenLayers);
  return {
    wallMs, tokensPerSecond: (tokens / wallMs) * 1000, mfu: run.flops / (run.wallMs / 1000) / (ratesOf(setting).peakFlopsPerSecond * ranks),
    exposedMs: Math.max(0, (run.exposedMs / run.wallMs) * wallMs), idleMs: Math.max(0, (run.idleMs / run.wallMs) * wallMs),
    sentBytesPerLayer: sentBytes * ((ranks * work.batchTokens) / tokens),
  };
}

/** Mean length of the sequences. */
export const meanLength = (lengths: readonly number[]): number => Math.max(1, Math.round(lengths.reduce((sum, length) => sum + length, 0) / lengths.length));

export function planStrategy(setting: PlanSetting, work: PlanWork, strategy: SimStrategy): StrategyPlan {
  const { config, ranks } = setting;
  // One sequence may be longer than a batch, and then it is one.
  const contextTokens = work.lengths.reduce((most, length) => Math.max(most, length), 1);
  const batch = { tokens: Math.max(work.batchTokens, contextTokens), contextTokens };
  const { memory, reason: tooLarge } = memoryOf(setting, strategy, batch);
  const reason = unsuited(setting, strategy) ?? tooLarge;
  const limit = (of: () => number | null): number | null => (memory === null || unsuited(setting, strategy) !== null ? null : of());
  return {
    strategy, reason, memory, memoryBytes: memory === null ? null : totalBytes(memory),
    largestBatchTokens: limit(() => largestBatch(setting, strategy, contextTokens)),
    longestContextTokens: limit(() => longestContext(setting, strategy)),
    fewestDevices: limit(() => fewestDevices(setting, strategy, batch)),
    traffic: layerTraffic(strategy, {
      ranks, tokens: ranks * work.batchTokens, hiddenSize: config.hiddenSize, topK: config.numExpertsPerTok, rowElementBytes: WIRE.rowElementBytes,
      layerBytes: layerExpertBytes(config, ratesOf(setting).weightBytes),
    }),
    predicted: reason === null ? predict(setting, work, strategy) : null,
  };
}

/** @param onPart told before each */
export function planStrategies(setting: PlanSetting, work: PlanWork, onPart: (what: string) => void): StrategyPlan[] {
  return SIM_STRATEGIES.map((strategy) => {
    onPart(strategy);
    return planStrategy(setting, work, strategy);
  });
}
