/** The whole plan of a model on a machine, as data. */
import { requestFlops } from '../../serving/request-flops.ts';
import { SIM_STRATEGIES, type SimStrategy } from '../run-shape.ts';
import { namedWorkload, WORKLOADS } from '../workload.ts';
import { curveStrategies, planCrossOvers, planCurves, type Curve } from './curves.ts';
import { fewestDevices, largestBatch, usableBytes } from './memory.ts';
import { checkSetting, moeLayersOf, ratesOf, type PlanRates, type PlanSetting } from './setting.ts';
import { meanLength, planStrategies, type PlanWork, type StrategyPlan } from './strategies.ts';
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
  /** Throughput over the tokens of a batch, with sequences of the workload's mean length; empty when not asked for. */
  readonly curves: readonly Curve[];
  readonly crossOvers: Readonly<Partial<Record<SimStrategy, number | null>>>;
  /** Devices from which asyncep holds the workload's batches: as asked for, and with one layer of offload. */
  readonly fewestDevices: { readonly asAsked: number | null; readonly offloaded: number | null };
}

export interface PlanOptions {
  /** Of {@link namedWorkload}. */
  readonly workload: string;
  /** As many as reach T when not given, and no more than fit. */
  readonly batchTokens?: number;
  /** Whether curves are drawn and cross-overs looked for; they are by default. */
  readonly crossOvers?: boolean;
  /** Told before each part that takes long. */
  readonly onPart?: (what: string) => void;
}

/** Batches of each device in the run that is predicted, at least. */
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

const longest = (lengths: readonly number[]): number => lengths.reduce((most, length) => Math.max(most, length), 1);
const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

/**
 * Enough requests that no device is alone with the longest one while the others have nothing left: it is at most a device's share of the work. A workload
 * that is not large enough for that is taken whole.
 */
function enoughRequests(lengthsFor: (tokens: number) => number[], { config, ranks }: PlanSetting, batchTokens: number, wholeTokens: number): number[] {
  const flops = requestFlops(config);
  for (let tokens = ranks * BATCHES * batchTokens; ; tokens *= 2) {
    const lengths = lengthsFor(tokens);
    const most = flops({ newTokens: longest(lengths) });
    if (tokens >= wholeTokens || most * ranks <= sum(lengths.map((newTokens) => flops({ newTokens })))) return lengths;
  }
}

function chooseWork(setting: PlanSetting, transfer: TransferPlan, { workload, batchTokens: wanted }: PlanOptions): { readonly work: PlanWork; readonly shown: Plan['work'] } {
  const lengthsFor = (tokens: number): number[] => namedWorkload(workload, { longestContext: LONGEST_CONTEXT, tokens, seed: 1 }).requests.map((request) => request.tokens);
  const sample = lengthsFor(SAMPLE_TOKENS);
  const batch = chooseBatch(setting, transfer, meanLength(sample), longest(sample), wanted);
  const wholeTokens = sum((WORKLOADS[workload] ?? []).map((source) => source.tokens));
  const lengths = enoughRequests(lengthsFor, setting, Math.max(batch.batchTokens, meanLength(sample)), wholeTokens);
  return {
    work: { lengths, batchTokens: batch.batchTokens },
    shown: { name: workload, requests: lengths.length, tokens: sum(lengths), meanTokens: meanLength(lengths), longestTokens: longest(lengths), ...batch },
  };
}

/** How often {@link PlanOptions.onPart} is told. */
export const planParts = (setting: PlanSetting): number => SIM_STRATEGIES.length + curveStrategies(setting).length + 1;

/**
 * @throws InputError for a setting that is impossible, naming the flag
 */
export function makePlan(setting: PlanSetting, options: PlanOptions): Plan {
  checkSetting(setting);
  const { onPart = () => undefined } = options;
  const transfer = planTransfer(setting);
  const { work, shown } = chooseWork(setting, transfer, options);
  const batch = { tokens: Math.max(shown.batchTokens, shown.longestTokens), contextTokens: shown.longestTokens };
  const strategies = planStrategies(setting, work, onPart);
  const curves = options.crossOvers === false ? [] : planCurves(setting, shown.meanTokens, onPart);
  onPart('cross-overs');
  return {
    rates: ratesOf(setting), moeLayers: moeLayersOf(setting.config), transfer, usableBytes: usableBytes(setting), work: shown, strategies, curves,
    crossOvers: planCrossOvers(setting, curves, shown.meanTokens),
    fewestDevices: {
      asAsked: fewestDevices(setting, 'asyncep', batch),
      offloaded: fewestDevices({ ...setting, offload: Math.max(1, setting.offload) }, 'asyncep', batch),
    },
  };
}
