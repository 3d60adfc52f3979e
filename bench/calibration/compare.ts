/** Measured runs beside what the cost model says of them. */
import { median } from '../../src/cli/bench-strategies-report.ts';
import { predictRun, residentRate } from '../../src/sim/cost.ts';
import type { Overheads } from '../../src/sim/overheads.ts';
import type { RunShape, SimStrategy } from '../../src/sim/run-shape.ts';
import type { MeasuredRun, MeasuredWorld } from './measured.ts';
import { BENCH_SHAPES } from './shapes.ts';

/** One strategy in one world, as measured and as predicted. */
export interface Cell {
  readonly model: string;
  readonly ranks: number;
  readonly link: string;
  readonly strategy: SimStrategy;
  readonly measuredMs: number;
  readonly predictedMs: number;
  /** (predicted - measured) / measured. */
  readonly error: number;
  /** Largest less smallest repetition, over the median: of this run's ratio to `resident`. */
  readonly spread: number;
}

/** What a world's predictions start from. */
export interface WorldRate {
  readonly model: string;
  readonly ranks: number;
  readonly link: string;
  /** FLOP/s of one rank at which `resident` is predicted as it was measured. */
  readonly flopsPerSecond: number;
  /** Largest less smallest repetition of `resident`, over the median: the machine's own noise. */
  readonly residentSpread: number;
  /** Median over all runs of what others took of the cores; null: not known. */
  readonly othersShare: number | null;
}

export interface Comparison {
  readonly rates: readonly WorldRate[];
  /** All but `resident`, which the rate comes from. */
  readonly cells: readonly Cell[];
}

const spreadOf = (values: readonly number[]): number => (Math.max(...values) - Math.min(...values)) / median(values);

/** Within each repetition, so that what slows the machine for a while slows both. */
const ratiosTo = (run: MeasuredRun, base: MeasuredRun): number[] => run.wallMs.map((wallMs, repetition) => wallMs / (base.wallMs[repetition] as number));

/** Under `resident`, at no rate in particular. */
export const shapeOf = ({ model, shape, cores }: MeasuredWorld, overheads: Overheads): RunShape =>
  ({ ...shape, config: BENCH_SHAPES[model]!.config, overheads: { ...overheads, cores }, strategy: 'resident', flopsPerSecond: 1 });

/** With the batches of the others. */
export const residentOf = ({ runs, shape }: MeasuredWorld): MeasuredRun => runs.find(({ strategy, batchTokens }) => strategy === 'resident' && batchTokens === shape.batchTokens)!;

function compareWorld(world: MeasuredWorld, overheads: Overheads): Comparison {
  const shape = shapeOf(world, overheads);
  const names = { model: world.model, ranks: world.shape.ranks, link: world.link };
  const base = residentOf(world);
  const residentMs = median(base.wallMs);
  const flopsPerSecond = residentRate(shape, residentMs);
  const others = world.runs.flatMap(({ othersShare }) => othersShare).filter((share) => share !== null);
  const cells = world.runs.filter((run) => run.strategy !== 'resident' && run.reason === null).map((run): Cell => {
    const ratios = ratiosTo(run, base);
    const measuredMs = median(ratios) * residentMs;
    const predictedMs = predictRun({ ...shape, strategy: run.strategy, flopsPerSecond }).wallMs;
    return { ...names, strategy: run.strategy, measuredMs, predictedMs, error: (predictedMs - measuredMs) / measuredMs, spread: spreadOf(ratios) };
  });
  return { rates: [{ ...names, flopsPerSecond, residentSpread: spreadOf(base.wallMs), othersShare: others.length === 0 ? null : median(others) }], cells };
}

/** Predicts all that was measured. */
export function compare(worlds: readonly MeasuredWorld[], overheads: Overheads): Comparison {
  const each = worlds.map((world) => compareWorld(world, overheads));
  return { rates: each.flatMap(({ rates }) => rates), cells: each.flatMap(({ cells }) => cells) };
}

/** What the cost model is held to. */
export const LIMITS = { median: 0.1, worst: 0.2 } as const;

/** Of absolute errors. */
export interface ErrorSummary {
  readonly median: number;
  readonly p90: number;
  readonly worst: number;
}

export function summarizeErrors(cells: readonly Pick<Cell, 'error'>[]): ErrorSummary {
  const sorted = cells.map(({ error }) => Math.abs(error)).sort((a, b) => a - b);
  return { median: median(sorted), p90: sorted[Math.ceil(0.9 * sorted.length) - 1] as number, worst: sorted.at(-1) as number };
}
