/**
 * When the reader sees what. A run's own clock is no good: a round decides about many requests at one moment, and a pass lasts for as long as dozens of
 * arrivals. So every moment is given a time of the reader's, in order, with a pause behind each decision; in between the run's clock goes evenly.
 */
import type { FrontendRun, Moment } from './moments.ts';

/** The reader's seconds at speed 1 for the mean time between two requests. */
const SECONDS_PER_GAP = 0.45;
/** At least so long until the next moment. */
const PAUSE_SECONDS: Readonly<Record<Moment['kind'], number>> = { arrived: 0.08, queued: 0.2, routed: 0.35, saturated: 0.25, left: 0.2, started: 0.05, ended: 0.2, evicted: 0.05 };

/** Before the first request. */
const FIRST_SECONDS = 0.5;

/** The reader's seconds of each moment, ascending; no two have the same. */
export function readerSeconds({ moments, scene: { gapMs } }: FrontendRun): Float64Array {
  const seconds = new Float64Array(moments.length);
  moments.forEach((moment, index) => {
    const before = moments[index - 1];
    const passed = ((moment.ms - (before?.ms ?? 0)) / gapMs) * SECONDS_PER_GAP;
    seconds[index] = (seconds[index - 1] ?? 0) + Math.max(passed, before === undefined ? FIRST_SECONDS : PAUSE_SECONDS[before.kind]);
  });
  return seconds;
}

/** How many moments are at or before a time. */
export function momentsUntil(seconds: Float64Array, at: number): number {
  let [low, high] = [0, seconds.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((seconds[middle] as number) <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The run's clock, milliseconds, at a time of the reader's. */
export function runMs({ moments }: FrontendRun, seconds: Float64Array, at: number): number {
  const count = momentsUntil(seconds, at);
  const [before, after] = [moments[count - 1], moments[count]];
  if (before === undefined) return (at / (seconds[0] as number)) * (after?.ms ?? 0);
  if (after === undefined) return before.ms;
  const [from, to] = [seconds[count - 1] as number, seconds[count] as number];
  return before.ms + ((at - from) / (to - from)) * (after.ms - before.ms);
}

/** A step ends behind a decision about a request: that it goes to an engine, or that it has to wait. */
function endsStep(moments: readonly Moment[], index: number): boolean {
  const moment = moments[index] as Moment;
  return moment.kind === 'routed' || moment.kind === 'queued' || (moment.kind === 'arrived' && moment.waits);
}

/** Number of moments to show after a step from `count` of them. */
export function stepFrom(moments: readonly Moment[], count: number, direction: 1 | -1): number {
  let next = count + direction;
  while (next > 0 && next < moments.length && !endsStep(moments, next - 1)) next += direction;
  return Math.min(moments.length, Math.max(0, next));
}

/** Number of moments to show so that `arrived` requests have come and the last of them has been decided about. */
export function momentsOfArrival(moments: readonly Moment[], arrived: number): number {
  let left = arrived;
  const last = moments.findIndex(({ kind }) => kind === 'arrived' && --left === 0);
  return last < 0 ? 0 : stepFrom(moments, last, 1);
}
