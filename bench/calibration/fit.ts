/**
 * Overheads of this machine, fitted to some of the measured worlds; the others are predicted.
 *
 * What keeps ranks busy is fitted to their CPU time: other programs make it a little longer (caches are shared), never shorter, so the repetition with the least counts. What ranks wait for is
 * fitted to wall time after that.
 */
import { predictRun } from '../../src/sim/cost.ts';
import type { Overheads } from '../../src/sim/overheads.ts';
import type { RunShape } from '../../src/sim/run-shape.ts';
import { compare, residentOf, shapeOf, type Cell } from './compare.ts';
import type { MeasuredRun, MeasuredWorld } from './measured.ts';

/** Whether a world is fitted to. */
export const isFitted = ({ model, link }: Pick<Cell, 'model' | 'link'>): boolean => model === 'many' && link === 'none';
export const FITTED_TO = 'many, link none';

/** Something to be fitted, in units in which nothing of it is 0. */
interface Value {
  readonly start: number;
  /** Above, it would stand for something else. */
  readonly most: number;
}
const BUSY_KEYS = ['layerMs', 'exchangeMs', 'messageMs', 'copyMsPerMegabyte'] as const;
type BusyKey = (typeof BUSY_KEYS)[number];
const BUSY: Readonly<Record<BusyKey, Value>> = {
  layerMs: { start: 1, most: 10 }, exchangeMs: { start: 1, most: 20 }, messageMs: { start: 1, most: 20 }, copyMsPerMegabyte: { start: 0.5, most: 10 },
};
const WAITING: Readonly<Record<'noticeMs' | 'jitter', Value>> = { noticeMs: { start: 5, most: 50 }, jitter: { start: 0.1, most: 0.5 } };

/** Steps are halved from the first to below the last, as factors. */
const [FIRST_STEP, LAST_STEP] = [1.5, 0.04];
/** A value below this share of its start is as good as none, and can grow again from there. */
const LEAST_SHARE = 1e-3;

/** One value at a time, up and down by a factor that gets smaller when nothing helps. */
function descend<Key extends string>(values: Readonly<Record<Key, Value>>, badnessOf: (values: Readonly<Record<Key, number>>) => number): Record<Key, number> {
  const keys = Object.keys(values) as Key[];
  let best = Object.fromEntries(keys.map((key) => [key, values[key].start])) as Record<Key, number>;
  let least = badnessOf(best);
  for (let step = FIRST_STEP; step > LAST_STEP;) {
    const before = least;
    for (const key of keys) {
      for (const factor of [1 + step, 1 / (1 + step)]) {
        const tried = { ...best, [key]: Math.min(values[key].most, Math.max(values[key].start * LEAST_SHARE, best[key] * factor)) };
        const found = badnessOf(tried);
        if (found < least) [best, least] = [tried, found];
      }
    }
    if (least > before * 0.99) step /= 2;
  }
  return best;
}

const rounded = (value: number): number => Number(value.toPrecision(3));

/** Squares, so that no cell is given up for others; of logarithms, so that half and twice are equally wrong. */
const badness = (ratios: readonly number[]): number => ratios.reduce((sum, ratio) => sum + Math.log(ratio) ** 2, 0) / ratios.length;

/** Milliseconds that all devices are busy. */
const busyMs = (shape: RunShape): number => predictRun(shape).ranks.reduce((sum, { computeMs }) => sum + computeMs, 0);

/** One strategy in one world: what devices do, in units of what is fitted. */
interface BusyWork {
  readonly flops: number;
  /** How often each value is paid. */
  readonly counts: Readonly<Record<BusyKey, number>>;
  readonly cpuMs: number;
}

const ONE_OF_EACH: Readonly<Record<BusyKey, Overheads>> = { layerMs: { layerMs: 1 }, exchangeMs: { exchangeMs: 1 }, messageMs: { messageMs: 1 }, copyMsPerMegabyte: { copyBytesPerSecond: 1e9 } };

/** Busy time is linear in what is fitted, so it is simulated once for each value. */
function busyWork(world: MeasuredWorld, run: MeasuredRun): BusyWork {
  const shape = { ...shapeOf(world, {}), strategy: run.strategy, batchTokens: run.batchTokens, flopsPerSecond: 1e12 };
  const flopsMs = busyMs(shape);
  const count = (overheads: Overheads): number => busyMs({ ...shape, overheads }) - flopsMs; // of one core: CPU time, however many share it
  const counts = Object.fromEntries(BUSY_KEYS.map((key) => [key, count(ONE_OF_EACH[key])])) as Record<BusyKey, number>;
  return { flops: flopsMs * 1e9, counts, cpuMs: Math.min(...run.cpuMs) };
}

/** Work of each run but `resident`, and of that; not of `sync`, whose CPU time is in part that of reads beside which nothing computes. */
interface BusyWorld {
  readonly base: BusyWork;
  readonly others: readonly BusyWork[];
}

function busyWorld(world: MeasuredWorld): BusyWorld {
  const base = residentOf(world);
  return { base: busyWork(world, base), others: world.runs.filter((run) => run !== base && run.strategy !== 'sync' && run.reason === null).map((run) => busyWork(world, run)) };
}

/** Predicted over measured CPU time of each strategy, at the rate at which that of `resident` is right. */
function cpuRatios({ base, others }: BusyWorld, values: Readonly<Record<BusyKey, number>>): number[] {
  const extraMs = ({ counts }: BusyWork): number => BUSY_KEYS.reduce((sum, key) => sum + counts[key] * values[key], 0);
  const msPerFlop = (base.cpuMs - extraMs(base)) / base.flops;
  if (msPerFlop <= 0) return [Infinity]; // overheads alone are more than resident takes
  return others.map((work) => (work.flops * msPerFlop + extraMs(work)) / work.cpuMs);
}

/** Predicted over measured wall time. */
function wallRatios(worlds: readonly MeasuredWorld[], overheads: Overheads): number[] {
  try {
    return compare(worlds, overheads).cells.map(({ error }) => 1 + error);
  } catch (error) {
    if (error instanceof RangeError) return [Infinity]; // as above
    throw error;
  }
}

/** @returns null when none of the worlds is there */
export function fitOverheads(worlds: readonly MeasuredWorld[]): Overheads | null {
  const some = worlds.filter(isFitted);
  if (some.length === 0) return null;
  const busyWorlds = some.map(busyWorld);
  const { copyMsPerMegabyte, ...found } = descend(BUSY, (values) => badness(busyWorlds.flatMap((world) => cpuRatios(world, values))));
  const busy = { layerMs: rounded(found.layerMs), exchangeMs: rounded(found.exchangeMs), messageMs: rounded(found.messageMs), copyBytesPerSecond: rounded(1e9 / copyMsPerMegabyte) };
  const waitingOf = ({ noticeMs, jitter }: Record<keyof typeof WAITING, number>): Overheads => ({ ...busy, noticeMs: rounded(noticeMs), jitter: rounded(jitter), seed: 1 });
  return waitingOf(descend(WAITING, (values) => badness(wallRatios(some, waitingOf(values)))));
}
