/** The whole plan of a model on a machine, as data. */
import { BASELINES, type SimStrategy } from '../run-shape.ts';
import { namedWorkload } from '../workload.ts';
import { fewestDevices, largestBatch, usableBytes } from './memory.ts';
import { checkSetting, moeLayersOf, ratesOf, type PlanRates, type PlanSetting } from './setting.ts';
import { meanLength, planCrossOvers, planStrategies, type PlanWork, type StrategyPlan } from './strategies.ts';
import { flopsPerToken, planTransfer, type TransferPlan } from './transfer.ts';

export interface Plan {
  readonly rates: PlanRates;
  readonly moeLayers: number;
  readonly transfer: TransferPlan;
  readonly usableBytes: number;
  readonly work: {
    readonly name: string;
    readonly requests: number;
    readonly tokens: number;
    readonly meanTokens: number;
    readonly longestTokens: number;
    readonly batchTokens: number;
    /** Why a batch has so many tokens. */
    readonly batchReason: string;
  };
  readonly strategies: readonly StrategyPlan[];
  readonly crossOvers: Readonly<Partial<Record<SimStrategy, number | null>>>;
  /** Devices from which asyncep holds the workload's batches: as asked for, and with one layer of offload. */
  readonly fewestDevices: { readonly asAsked: number | null; readonly offloaded: number | null };
}

export interface PlanOptions {
  /** Of {@link namedWorkload}. */
  readonly workload: string;
  /** As many as reach T when not given, and no more than fit. */
  readonly batchTokens?: number;
  /** Whether cross-overs are looked for; they are by default. */
  readonly crossOvers?: boolean;
}

/** Batches of each device in the run that is predicted. */
const BATCHES = 2;
/** Below this the products of experts are small, whatever travels. */
const LEAST_BATCH = 8192;
/** As in the paper's workloads. */
const LONGEST_CONTEXT = 128 * 1024;
/** Of a workload, to see its mean length. */
const SAMPLE_TOKENS = 2 ** 22;

/** Tokens are rounded up to a multiple of 1024. */
function chooseBatch(setting: PlanSetting, transfer: TransferPlan, meanTokens: number, longestTokens: number, wanted: number | undefined): { readonly batchTokens: number; readonly batchReason: string } {
  if (wanted !== undefined) return { batchTokens: wanted, batchReason: 'as asked for' };
  const reached = Math.ceil(transfer.batchThreshold / flopsPerToken(setting.config, meanTokens));
  const needed = Math.max(LEAST_BATCH, 1024 * Math.ceil(reached / 1024));
  const most = largestBatch(setting, 'asyncep', longestTokens);
  if (most > 0 && most < needed) return { batchTokens: most, batchReason: `what fits under asyncep; T takes ${needed}` };
  return { batchTokens: needed, batchReason: reached > LEAST_BATCH ? 'what reaches T' : 'more than what reaches T: experts need rows' };
}

function chooseWork(setting: PlanSetting, transfer: TransferPlan, { workload, batchTokens: wanted }: PlanOptions): { readonly work: PlanWork; readonly shown: Plan['work'] } {
  const lengthsFor = (tokens: number): number[] => namedWorkload(workload, { longestContext: LONGEST_CONTEXT, tokens, seed: 1 }).requests.map((request) => request.tokens);
  const longest = (lengths: readonly number[]): number => lengths.reduce((most, length) => Math.max(most, length), 1);
  const sample = lengthsFor(SAMPLE_TOKENS);
  const batch = chooseBatch(setting, transfer, meanLength(sample), longest(sample), wanted);
  const lengths = lengthsFor(setting.ranks * BATCHES * Math.max(batch.batchTokens, meanLength(sample)));
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  return {
    work: { lengths, batchTokens: batch.batchTokens },
    shown: { name: workload, requests: lengths.length, tokens, meanTokens: meanLength(lengths), longestTokens: longest(lengths), ...batch },
  };
}

/**
 * @throws InputError for a setting that is impossible, naming the flag
 */
export function makePlan(setting: PlanSetting, options: PlanOptions): Plan {
  checkSetting(setting);
  const transfer = planTransfer(setting);
  const { work, shown } = chooseWork(setting, transfer, options);
  const batch = { tokens: Math.max(shown.batchTokens, shown.longestTokens), contextTokens: shown.longestTokens };
  return {
    rates: ratesOf(setting), moeLayers: moeLayersOf(setting.config), transfer, usableBytes: usableBytes(setting), work: shown,
    strategies: planStrategies(setting, work),
    crossOvers: options.crossOvers === false ? {} : planCrossOvers(setting, work, BASELINES),
    fewestDevices: {
      asAsked: fewestDevices(setting, 'asyncep', batch),
      offloaded: fewestDevices({ ...setting, offload: Math.max(1, setting.offload) }, 'asyncep', batch),
    },
  };
}
