/** Everything that is set beside the paper's figures. */
import { fewestDevices } from '../../src/sim/plan/memory.ts';
import type { PlanSetting } from '../../src/sim/plan/setting.ts';
import { BASELINE_NAMES, predictChunked, type Baseline } from './chunked.ts';
import { machineFor, MODEL, type Fitted, type Machine } from './device.ts';
import { fit } from './fit.ts';
import { bestOf, predictMixed, routeMixed, type MixedFigures, type RoutedMix } from './mixed.ts';
import { CHOSEN_BY, CONFIGURATION_NAMES, FITTED_CONFIGURATION, FITTED_TO, PUBLISHED, REGIMES, type ConfigurationName, type Published, type Regime } from './published.ts';
import { predictOwnBaseline, predictStreamed, regimeLengths, type StreamedFigures } from './streamed.ts';

const DEGREES = [1, 2, 4, 8] as const;
type Degree = (typeof DEGREES)[number];
/** What vLLM takes at a time on a server of A100s. */
const A100_CHUNK_TOKENS = 2048;

export interface RegimeFigures {
  readonly regime: Regime;
  /** DP+AsyncEP by the number of GPUs. */
  readonly streamed: Readonly<Record<Degree, StreamedFigures>>;
  /** MFU of the chunked baselines with 4 and with 8 GPUs. */
  readonly chunked: Readonly<Record<Baseline, { readonly 4: number; readonly 8: number }>>;
  /** MFU with 8 GPUs of the baselines as this repository builds them. */
  readonly own: Readonly<Record<Baseline, number>>;
}

export interface Line extends Published {
  readonly predicted: number;
  /** 0 within the range that was published; otherwise how far beyond its nearer end, as a share of that. */
  readonly error: number;
  readonly role: 'fitted' | 'chose the order' | 'predicted';
}

export interface Comparison {
  readonly fitted: Fitted;
  readonly lines: readonly Line[];
  readonly regimes: readonly RegimeFigures[];
  readonly mixed: Readonly<Record<ConfigurationName, MixedFigures>>;
  /** What would be otherwise: requests shuffled, and steps of 2048 tokens on A100. */
  readonly otherwise: { readonly shuffled: MixedFigures; readonly smallSteps: MixedFigures };
}

const record = <K extends string | number, V>(keys: readonly K[], of: (key: K) => V): Record<K, V> => Object.fromEntries(keys.map((key) => [key, of(key)])) as Record<K, V>;

function regimeFigures(regime: Regime, machine: Machine, fitted: Fitted): RegimeFigures {
  const lengths = regimeLengths(regime);
  const chunkedMfu = (strategy: Baseline, ranks: number): number => predictChunked({ strategy, lengths, ranks, machine, fitted }).mfu;
  return {
    regime,
    streamed: record(DEGREES, (ranks) => predictStreamed(machine, fitted, ranks, regime)),
    chunked: record(BASELINE_NAMES, (strategy) => ({ 4: chunkedMfu(strategy, 4), 8: chunkedMfu(strategy, 8) })),
    own: record(BASELINE_NAMES, (strategy) => predictOwnBaseline(strategy, machine, fitted, 8, regime).mfu),
  };
}

/** How far outside the published range. */
export function errorOf({ low, high }: Pick<Published, 'low' | 'high'>, predicted: number): number {
  if (predicted >= low && predicted <= high) return 0;
  const nearer = predicted < low ? low : high;
  return predicted / nearer - 1;
}

export const bestBaseline = ({ chunked }: RegimeFigures): Baseline => BASELINE_NAMES.reduce((best, other) => (chunked[other][8] > chunked[best][8] ? other : best));

function devices(machine: Machine): { readonly baselines: number; readonly asyncep: number } {
  const setting = (offload: number): PlanSetting => ({ config: MODEL, hardware: machine.hardware, ranks: 8, precision: machine.precision, offload, kv: 'none', cacheTokens: 0, gamma: 1.2 });
  const batch = { tokens: 8192, contextTokens: 8192 };
  const fewest = (strategy: Baseline | 'asyncep', offload: number): number => fewestDevices(setting(offload), strategy, batch) ?? Infinity;
  return { baselines: Math.min(...BASELINE_NAMES.map((strategy) => fewest(strategy, 0))), asyncep: fewest('asyncep', 1) };
}

/** Predicted values by the published figure's id. */
function values(regimes: readonly RegimeFigures[], mixed: Comparison['mixed'], machine: Machine): Map<string, number> {
  const mfus = (degrees: readonly Degree[]): number[] => regimes.flatMap(({ streamed }) => degrees.map((degree) => 100 * streamed[degree].mfu));
  const spread = ({ streamed }: RegimeFigures): number => Math.max(...DEGREES.map((degree) => streamed[degree].mfu)) / Math.min(...DEGREES.map((degree) => streamed[degree].mfu));
  const [short, ultra] = [regimes[0], regimes.at(-1)] as [RegimeFigures, RegimeFigures];
  const fewest = devices(machine);
  return new Map([
    ...CONFIGURATION_NAMES.flatMap((name): [string, number][] => [
      [`speed-up ${name}`, mixed[name].whole / bestOf(mixed[name]).tokensPerSecond], [`frontend ${name}`, 100 * (mixed[name].whole / mixed[name].backend - 1)],
    ]),
    ...regimes.map((one): [string, number] => [`regime ${one.regime}`, one.streamed[8].mfu / one.chunked[bestBaseline(one)][8]]),
    ['mfu 8 most', Math.max(...mfus([8]))], ['mfu 8 least', Math.min(...mfus([8]))],
    ['mfu 4 most', Math.max(...mfus([4]))], ['mfu 4 least', Math.min(...mfus([4]))],
    ['mfu 1-2 most', Math.max(...mfus([1, 2]))], ['mfu 1-2 least', Math.min(...mfus([1, 2]))],
    ['mfu spread', Math.max(...regimes.map(spread))],
    ['best baseline ultra', 100 * ultra.chunked.tp[8]],
    ['ep degrades', short.chunked.ep[4] / short.chunked.ep[8]],
    ['a100 baselines', 100 * bestOf(mixed['a100-bf16']).mfu],
    ['devices baselines', fewest.baselines], ['devices asyncep', fewest.asyncep],
  ]);
}

function roleOf(id: string): Line['role'] {
  if (FITTED_TO.includes(id)) return 'fitted';
  return id === CHOSEN_BY ? 'chose the order' : 'predicted';
}

/**
 * Fits, and predicts.
 * @param requests of the mixed workload's 73,800, for a quick look; all by default
 */
export function compare(requests?: number): Comparison {
  const fitted = fit();
  const machine = machineFor(FITTED_CONFIGURATION);
  const options = requests === undefined ? {} : { requests };
  const routed = record(CONFIGURATION_NAMES, (name): RoutedMix => routeMixed(name, { order: 'together', ...options }));
  const mixed = record(CONFIGURATION_NAMES, (name) => predictMixed(routed[name], fitted));
  const regimes = REGIMES.map((regime) => regimeFigures(regime, machine, fitted));
  const predicted = values(regimes, mixed, machine);
  return {
    fitted, regimes, mixed,
    lines: PUBLISHED.map((figure): Line => {
      const value = predicted.get(figure.id);
      if (value === undefined) throw new Error(`nothing is predicted for ${figure.id}`);
      return { ...figure, predicted: value, error: errorOf(figure, value), role: roleOf(figure.id) };
    }),
    otherwise: {
      shuffled: predictMixed(routeMixed(FITTED_CONFIGURATION, { order: 'shuffled', ...options }), fitted),
      smallSteps: predictMixed(routed['a100-bf16'], fitted, A100_CHUNK_TOKENS),
    },
  };
}
