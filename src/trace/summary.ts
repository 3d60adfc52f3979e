/**
 * A timeline in a few numbers, for every strategy by the same definitions. All times of a rank are lengths of *unions*: two bars that overlap
 * count once, so no time can exceed the length of the timeline.
 *
 * - compute:  the device was busy with layers (track `compute`);
 * - transfer: bytes were on their way to a peer, from one, or into a slot (tracks `send`, `receive`, `slot`);
 * - exposed:  the rank stood still for bytes: it waited (track `wait`) *and* the device computed nothing. A wait while the device still has
 *   work costs nothing (the host runs ahead of it; another pass may compute meanwhile), and a transfer that nobody waits for is not exposed;
 * - overlap efficiency = 1 - exposed / transfer, at least 0; 1 where nothing was transferred.
 *
 * On an adapter without timestamps no layer is timed and compute is empty: then exposed is all the time that the host waited, an upper bound.
 * The figure that a run itself reports (`overlapEfficiency` of strategy/stats.ts) adds up the gathers of the layers instead, which overlap, and
 * asks the queue whether the device was idle; it is the same idea measured while it happens.
 */
import { endUs, type Track, type TraceEvent } from './events.ts';
import { difference, type Interval, lengthUs, union } from './intervals.ts';

/** Times of one rank, or the mean of several ranks. */
export interface Times {
  readonly computeMs: number;
  readonly transferMs: number;
  readonly exposedMs: number;
  /** 1 - exposed / transfer, between 0 and 1. */
  readonly overlapEfficiency: number;
}

export interface RankSummary extends Times {
  readonly rank: number;
  /** When the rank stood still, microseconds on the events' clock; their length is `exposedMs`. */
  readonly exposed: readonly Interval[];
}

export interface LayerSummary extends Times {
  readonly layer: number;
}

export interface TraceSummary {
  /** Start of the first event, microseconds on the events' clock; 0 when there is none. */
  readonly startUs: number;
  /** From the start of the first event to the end of the last one, over all ranks. */
  readonly totalMs: number;
  /** Every rank that has events, by number. */
  readonly ranks: readonly RankSummary[];
  /** Mean over the ranks; the efficiency is that of the means. */
  readonly mean: Times;
  /**
   * Mean over the ranks of what the events of one layer (`args.layer`) took, over all passes, by layer. Exposed: waits for this layer while the
   * device computed nothing at all. Layers overlap in time, so their transfers may add up to more than the rank's.
   */
  readonly layers: readonly LayerSummary[];
}

const TRANSFER: readonly Track[] = ['send', 'receive', 'slot'];

/** 1 - exposed / transfer, at least 0 (a rank can wait for a peer longer than its bytes take); 1 where nothing was transferred. */
const efficiency = (exposedMs: number, transferMs: number): number => (transferMs === 0 ? 1 : Math.max(0, 1 - exposedMs / transferMs));

/** Union of the bars on some tracks. */
const busy = (events: readonly TraceEvent[], tracks: readonly Track[]): Interval[] =>
  union(events.filter(({ track }) => tracks.includes(track)).map((event): Interval => [event.startUs, endUs(event)]));

interface Measured {
  readonly times: Times;
  readonly exposed: readonly Interval[];
}

/** @param compute when the rank's device computed; may hold more than the compute of `events` */
function measure(events: readonly TraceEvent[], compute: readonly Interval[]): Measured {
  const exposed = difference(busy(events, ['wait']), compute);
  const [computeMs, transferMs, exposedMs] = [busy(events, ['compute']), busy(events, TRANSFER), exposed].map((set) => lengthUs(set) / 1000) as [number, number, number];
  return { exposed, times: { computeMs, transferMs, exposedMs, overlapEfficiency: efficiency(exposedMs, transferMs) } };
}

function groupBy<K>(events: readonly TraceEvent[], keyOf: (event: TraceEvent) => K | undefined): Map<K, TraceEvent[]> {
  const groups = new Map<K, TraceEvent[]>();
  for (const event of events) {
    const key = keyOf(event);
    if (key === undefined) continue;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [event]);
    else group.push(event);
  }
  return groups;
}

/** The layer that an event belongs to, if any. */
export const layerOf = ({ args }: TraceEvent): number | undefined => (typeof args?.['layer'] === 'number' ? args['layer'] : undefined);

/** @param ranks what the sums are divided by */
function meanOf(times: readonly Times[], ranks: number): Times {
  const mean = (key: keyof Times): number => (ranks === 0 ? 0 : times.reduce((sum, one) => sum + one[key], 0) / ranks);
  const [exposedMs, transferMs] = [mean('exposedMs'), mean('transferMs')];
  return { computeMs: mean('computeMs'), transferMs, exposedMs, overlapEfficiency: efficiency(exposedMs, transferMs) };
}

/**
 * The numbers of a timeline; see the head of this file for what they mean. Give it the events that shall count: a bench that wants one pass
 * filters by `args.pass` first.
 */
export function summarizeTrace(events: readonly TraceEvent[]): TraceSummary {
  let [startUs, stopUs] = [Infinity, -Infinity];
  for (const event of events) [startUs, stopUs] = [Math.min(startUs, event.startUs), Math.max(stopUs, endUs(event))];
  if (events.length === 0) startUs = stopUs = 0;
  const perLayer = new Map<number, Times[]>();
  const ranks = [...groupBy(events, ({ rank }) => rank)].sort(([a], [b]) => a - b).map(([rank, own]): RankSummary => {
    const compute = busy(own, ['compute']);
    for (const [layer, some] of groupBy(own, layerOf)) perLayer.set(layer, [...(perLayer.get(layer) ?? []), measure(some, compute).times]);
    const { times, exposed } = measure(own, compute);
    return { rank, ...times, exposed };
  });
  const layers = [...perLayer].sort(([a], [b]) => a - b).map(([layer, times]): LayerSummary => ({ layer, ...meanOf(times, ranks.length) }));
  return { startUs, totalMs: (stopUs - startUs) / 1000, ranks, mean: meanOf(ranks, ranks.length), layers };
}
