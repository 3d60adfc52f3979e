/** DP+AsyncEP by the simulator (`predictRun`): batches that reach T, experts from host memory where they do not fit the devices. */
import { presetConfig } from '../../src/model/presets.ts';
import { predictRun } from '../../src/sim/cost.ts';
import { fits, largestBatch } from '../../src/sim/plan/memory.ts';
import type { PlanSetting } from '../../src/sim/plan/setting.ts';
import { planTransfer } from '../../src/sim/plan/transfer.ts';
import type { SimStrategy } from '../../src/sim/run-shape.ts';
import { namedWorkload, WORKLOADS } from '../../src/sim/workload.ts';
import type { Baseline, ChunkedFigures } from './chunked.ts';
import { flopsOf, MODEL, rateOf, stepMs, wholeSequences, type Fitted, type Machine } from './device.ts';
import type { Regime } from './published.ts';

/** Batches of each device in a run that stands for all; they are all alike. */
const BATCHES = 3;
/** Layers that stand for all, and the last one, which the simulator cuts to the last tokens. */
const LAYERS = 8;
const GAMMA = 1.2;

/** Tokens of each prompt of a regime. */
const lengthOf = (regime: Regime): number => WORKLOADS[regime]?.[0]?.longest as number;

/** All prompts of a regime, as in the paper. */
export function regimeLengths(regime: Regime): number[] {
  const tokens = (WORKLOADS[regime] ?? []).reduce((sum, source) => sum + source.tokens, 0);
  return namedWorkload(regime, { longestContext: 128 * 1024, tokens, seed: 1 }).requests.map((request) => request.tokens);
}

const settingOf = ({ hardware, precision }: Machine, ranks: number, offload: number): PlanSetting =>
  ({ config: MODEL, hardware, ranks, precision, offload, kv: 'none', cacheTokens: 0, gamma: GAMMA });

interface Batches {
  readonly setting: PlanSetting;
  readonly length: number;
  /** Of a batch. */
  readonly sequences: number;
}

const reachingT = (setting: PlanSetting, length: number): number => Math.ceil(planTransfer(setting).batchThreshold / flopsOf(wholeSequences([length])));

const known = new Map<string, Batches>();

/** As many sequences as reach T; with offload where these do not fit without it, and then no more than fit. */
function batchesFor(machine: Machine, ranks: number, regime: Regime): Batches {
  const key = `${machine.hardware.name} ${machine.precision} ${ranks} ${regime}`;
  const batches = known.get(key) ?? findBatches(machine, ranks, regime);
  known.set(key, batches);
  return batches;
}

function findBatches(machine: Machine, ranks: number, regime: Regime): Batches {
  const length = lengthOf(regime);
  const resident = settingOf(machine, ranks, 0);
  const wanted = reachingT(resident, length);
  if (ranks > 1 && fits(resident, 'asyncep', { tokens: wanted * length, contextTokens: length })) return { setting: resident, length, sequences: wanted };
  const setting = settingOf(machine, ranks, 1);
  const most = Math.floor(largestBatch(setting, 'asyncep', length) / length);
  return { setting, length, sequences: Math.max(1, Math.min(reachingT(setting, length), most)) };
}

/** MFU of a device that waits for nothing. */
export function hiddenMfu(machine: Machine, fitted: Fitted, ranks: number, regime: Regime): number {
  const { length, sequences } = batchesFor(machine, ranks, regime);
  const batch = wholeSequences(Array.from({ length: sequences }, () => length));
  return flopsOf(batch) / (stepMs(batch, fitted, machine) / 1000) / machine.peakFlopsPerSecond;
}

export interface StreamedFigures extends ChunkedFigures {
  readonly offload: boolean;
  readonly batchTokens: number;
}

/** A regime without shared prefixes under AsyncEP. */
export function predictStreamed(machine: Machine, fitted: Fitted, ranks: number, regime: Regime): StreamedFigures {
  const batches = batchesFor(machine, ranks, regime);
  return { offload: batches.setting.offload > 0, batchTokens: batches.sequences * batches.length, ...simulated('asyncep', batches, machine, fitted) };
}

/** A baseline as this repository builds it: whole sequences in batches as large as those of AsyncEP, a row once to a rank, two passes under way. */
export const predictOwnBaseline = (strategy: Baseline, machine: Machine, fitted: Fitted, ranks: number, regime: Regime): ChunkedFigures =>
  simulated(strategy, batchesFor(machine, ranks, regime), machine, fitted);

function simulated(strategy: SimStrategy, { setting, length, sequences }: Batches, machine: Machine, fitted: Fitted): ChunkedFigures {
  const { ranks, offload } = setting;
  const pipeline = strategy === 'pp';
  const layers = pipeline ? MODEL.numHiddenLayers : LAYERS + 1;
  const config = presetConfig('qwen3-235b-a22b', { layers });
  const lengths = Array.from({ length: sequences * ranks * (pipeline ? ranks : BATCHES) }, () => length); // a pipeline is to be full most of the time
  const { wallMs } = predictRun({
    config, strategy, ranks, lengths, batchTokens: sequences * length, candidates: 1,
    flopsPerSecond: rateOf(wholeSequences(lengths.slice(0, sequences)), fitted, machine),
    link: { bytesPerSecond: machine.linkBytesPerSecond, latencyMs: machine.linkLatencyMs }, wire: 'bf16', weightBytes: machine.weightBytes, dispatch: 'rank',
    ...(offload > 0 && { offload: { layers: offload }, hostBytesPerSecond: machine.hardware.hostBytesPerSecond.value }),
  });
  const all = wholeSequences(lengths);
  const wholeMs = wallMs * (MODEL.numHiddenLayers / (layers - 1));
  return { wallMs: wholeMs, tokensPerSecond: (all.tokens / wholeMs) * 1000, mfu: flopsOf(all) / (wholeMs / 1000) / (ranks * machine.peakFlopsPerSecond) };
}
