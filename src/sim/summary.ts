/** What a schedule comes to, rank by rank, in the terms in which a real run is measured. */
import type { Schedule } from './schedule.ts';

export interface RankSummary {
  readonly rank: number;
  readonly flops: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** From host memory to the device; they do not travel over a link. */
  readonly loadedBytes: number;
  readonly computeMs: number;
  /** Time in which at least one transfer of this rank was under way. */
  readonly transferMs: number;
  /** The part of it in which the rank's device had nothing to do. */
  readonly exposedMs: number;
  /** Time in which the device had nothing to do and no transfer of the rank was under way: bubbles and stragglers. */
  readonly idleMs: number;
}

type Interval = readonly [startMs: number, endMs: number];

/** Sorted, without overlaps. */
function union(intervals: Interval[]): Interval[] {
  const joined: [number, number][] = [];
  for (const [start, end] of intervals.sort((a, b) => a[0] - b[0])) {
    const last = joined.at(-1);
    if (last !== undefined && start <= last[1]) last[1] = Math.max(last[1], end);
    else joined.push([start, end]);
  }
  return joined;
}

const length = (intervals: readonly Interval[]): number => intervals.reduce((sum, [start, end]) => sum + end - start, 0);

/** Length of what two unions have in common. */
function common(a: readonly Interval[], b: readonly Interval[]): number {
  let sum = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const [left, right] = [a[i] as Interval, b[j] as Interval];
    sum += Math.max(0, Math.min(left[1], right[1]) - Math.max(left[0], right[0]));
    if (left[1] < right[1]) i++;
    else j++;
  }
  return sum;
}

/** Adds up the schedule for each of `ranks`. */
export function summarize({ steps, startMs, endMs, wallMs }: Schedule, ranks: number): RankSummary[] {
  const computing: Interval[][] = Array.from({ length: ranks }, () => []);
  const moving: Interval[][] = Array.from({ length: ranks }, () => []);
  const totals = Array.from({ length: ranks }, () => ({ flops: 0, sentBytes: 0, receivedBytes: 0, loadedBytes: 0 }));
  for (const [index, step] of steps.entries()) {
    const interval: Interval = [startMs[index] as number, endMs[index] as number];
    const { rank, to, flops, bytes } = step;
    const [own, other] = [totals[rank], totals[to]];
    if (own === undefined || other === undefined) continue;
    if (step.kind === 'compute') computing[rank]?.push(interval);
    else for (const end of step.kind === 'message' ? [rank, to] : [to]) moving[end]?.push(interval);
    own.flops += flops;
    if (step.kind === 'load') own.loadedBytes += bytes;
    else other.receivedBytes += bytes;
    if (step.shards !== undefined) for (const [peer, sent] of step.shards.entries()) (totals[peer] as { sentBytes: number }).sentBytes += peer === to ? 0 : sent;
    else if (step.kind !== 'load') own.sentBytes += bytes;
  }
  return totals.map((total, rank) => {
    const [device, link] = [union(computing[rank] as Interval[]), union(moving[rank] as Interval[])];
    const [computeMs, transferMs] = [length(device), length(link)];
    const exposedMs = transferMs - common(device, link);
    return { rank, ...total, computeMs, transferMs, exposedMs, idleMs: Math.max(0, wallMs - computeMs - exposedMs) };
  });
}
