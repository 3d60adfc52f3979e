/** What each strategy would do: fit or not, what it sends, and what the cost model predicts (src/sim/cost.ts). */
import { InputError } from '../../errors.ts';
import { layerExpertBytes, prefillFlops } from '../../model/flops.ts';
import type { ModelConfig } from '../../model/types.ts';
import { crossOvers, predictRun } from '../cost.ts';
import { BASELINES, SIM_STRATEGIES, type RunShape, type SimStrategy } from '../run-shape.ts';
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
function unsuited({ ranks, offload }: PlanSetting, strategy: SimStrategy): string | null {
  if (BASELINES.includes(strategy) && ranks === 1) return 'takes at least 2 devices';
  if (offload > 0 && strategy !== 'asyncep' && strategy !== 'sync') return 'is planned with its experts on the device; asyncep and sync offload';
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

function predict(setting: PlanSetting, work: PlanWork, strategy: SimStrategy): Predicted {
  const { config, ranks } = setting;
  const { wallMs, ranks: devices } = predictRun({ ...runShape(setting, work), strategy });
  const flops = work.lengths.reduce((sum, newTokens) => sum + prefillFlops(config, { newTokens, candidates: 1 }, { lastLayerShortcut: true }), 0);
  const tokens = work.lengths.reduce((sum, length) => sum + length, 0);
  const mean = (key: 'exposedMs' | 'idleMs' | 'sentBytes'): number => devices.reduce((sum, device) => sum + device[key], 0) / ranks;
  return {
    wallMs, tokensPerSecond: (tokens / wallMs) * 1000, mfu: flops / (wallMs / 1000) / (ratesOf(setting).peakFlopsPerSecond * ranks),
    exposedMs: mean('exposedMs'), idleMs: mean('idleMs'), sentBytesPerLayer: (mean('sentBytes') / config.numHiddenLayers) * ((ranks * work.batchTokens) / tokens),
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
    fewestDevices: setting.offload > 0 && unsuited(setting, strategy) !== null ? null : fewestDevices(setting, strategy, batch),
    traffic: layerTraffic(strategy, {
      ranks, tokens: ranks * work.batchTokens, hiddenSize: config.hiddenSize, topK: config.numExpertsPerTok, rowElementBytes: WIRE.rowElementBytes,
      layerBytes: layerExpertBytes(config, ratesOf(setting).weightBytes),
    }),
    predicted: reason === null ? predict(setting, work, strategy) : null,
  };
}

export const planStrategies = (setting: PlanSetting, work: PlanWork): StrategyPlan[] => SIM_STRATEGIES.map((strategy) => planStrategy(setting, work, strategy));

/** So many layers stand for all where only ratios of times count; the first of them, which is never gathered, counts for a little more then. */
const CROSS_OVER_LAYERS = 8;

/** The model's last layers: of DeepSeek's kind the first ones are dense. */
function lastLayers(config: ModelConfig, layers: number): ModelConfig {
  const from = Math.max(0, config.numHiddenLayers - layers);
  const sliding = config.variant?.slidingWindow;
  const variant = config.variant && { ...config.variant, ...(sliding && { slidingWindow: { ...sliding, layers: sliding.layers.slice(from) } }) };
  return { ...config, numHiddenLayers: config.numHiddenLayers - from, layerIsMoe: config.layerIsMoe.slice(from), ...(variant && { variant }) };
}

/**
 * Tokens of a batch from which asyncep is predicted to be as fast as each baseline, whether or not these fit; null: not up to 128K.
 * Empty with one device, or with offload.
 */
export function planCrossOvers(setting: PlanSetting, work: PlanWork, strategies: readonly SimStrategy[]): Partial<Record<SimStrategy, number | null>> {
  if (setting.ranks === 1 || setting.offload > 0) return {};
  const config = lastLayers(setting.config, CROSS_OVER_LAYERS);
  return crossOvers({ ...runShape({ ...setting, config }, work), strategy: 'asyncep' }, strategies, meanLength(work.lengths));
}
