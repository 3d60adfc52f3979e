/** Overheads of this machine, fitted to some of the measured worlds; the others are predicted. */
import type { Overheads } from '../../src/sim/overheads.ts';
import { compare, type Cell } from './compare.ts';
import type { MeasuredWorld } from './measured.ts';

/** Whether a world is fitted to. */
export const isFitted = ({ model, ranks }: Pick<Cell, 'model' | 'ranks'>): boolean => model === 'many' && ranks === 2;
export const FITTED_TO = 'many on 2 ranks, all links';

type Values = readonly [layerMs: number, exchangeMs: number, messageMs: number, copyMsPerMegabyte: number, jitter: number];

const START: Values = [1, 1, 5, 0.5, 0.1];
/** Above: they would stand for something else. */
const MOST: Values = [10, 20, 100, 5, 0.5];
/** Steps are halved from the first to below the last, as factors. */
const [FIRST_STEP, LAST_STEP] = [1.5, 0.04];
/** A value below this share of its start is as good as none, and can grow again from there. */
const LEAST_SHARE = 1e-3;

const rounded = (value: number): number => Number(value.toPrecision(3));

const overheadsOf = ([layerMs, exchangeMs, messageMs, copyMsPerMegabyte, jitter]: Values): Overheads => ({
  layerMs: rounded(layerMs), exchangeMs: rounded(exchangeMs), messageMs: rounded(messageMs), copyBytesPerSecond: rounded(1e9 / copyMsPerMegabyte), jitter: rounded(jitter), seed: 1,
});

/** Squares of what lies beyond count, so that no cell is given up for others; ratios, so that half and twice are equally wrong. */
const badness = (cells: readonly Cell[]): number => cells.reduce((sum, { error }) => sum + Math.log1p(error) ** 2, 0) / cells.length;

/**
 * Least squares of the logarithms of predicted over measured time, one value at a time: up and down by a factor, which gets smaller when nothing helps.
 * @returns null when none of the worlds is there
 */
export function fitOverheads(worlds: readonly MeasuredWorld[]): Overheads | null {
  const some = worlds.filter(({ model, shape: { ranks } }) => isFitted({ model, ranks }));
  if (some.length === 0) return null;
  const badnessOf = (values: Values): number => {
    try {
      return badness(compare(some, overheadsOf(values)).cells);
    } catch (error) {
      if (error instanceof RangeError) return Infinity; // more than resident takes in all
      throw error;
    }
  };
  let [best, least] = [START, badnessOf(START)];
  for (let step = FIRST_STEP; step > LAST_STEP;) {
    const before = least;
    for (const index of START.keys()) {
      for (const factor of [1 + step, 1 / (1 + step)]) {
        const value = Math.min(MOST[index] as number, Math.max((START[index] as number) * LEAST_SHARE, (best[index] as number) * factor));
        const values = best.with(index, value) as unknown as Values;
        const found = badnessOf(values);
        if (found < least) [best, least] = [values, found];
      }
    }
    if (least > before * 0.99) step /= 2;
  }
  return overheadsOf(best);
}
