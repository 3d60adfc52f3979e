/** Events as what is drawn of them: the ranks' rows of bars. Pure; times are milliseconds since the first event. */
import { endUs, TRACKS, type Track, type TraceEvent } from '../../../src/trace/events.ts';
import { layerOf, summarizeTrace } from '../../../src/trace/summary.ts';
import { groupBy } from './group.ts';

export interface Bar {
  readonly name: string;
  readonly layer: number | null;
  readonly pass: number | null;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Row {
  readonly track: Track;
  /** Bars of a lane are sorted and do not overlap. */
  readonly lanes: readonly (readonly Bar[])[];
}

export interface DrawnRank {
  readonly rank: number;
  /** The tracks that have bars, in the order of TRACKS. */
  readonly rows: readonly Row[];
  /** When the rank stood still for bytes. */
  readonly exposed: readonly (readonly [fromMs: number, toMs: number])[];
}

export interface Timeline {
  readonly ranks: readonly DrawnRank[];
  readonly lengthMs: number;
}

const passOf = ({ args }: TraceEvent): number | null => (typeof args?.['pass'] === 'number' ? args['pass'] : null);

/** Bars this close are one: a message's latency is counted with it, so parts of a gather overlap a little. */
const TOUCHING_MS = 0.001;

/** Joins transfers of one name that follow each other: a gather is one bar, though each peer sends a part. @param events of one rank and track, by start */
function barsOf(events: readonly TraceEvent[], startUs: number): Bar[] {
  const bars: { -readonly [key in keyof Bar]: Bar[key] }[] = [];
  const latest = new Map<string, (typeof bars)[number]>();
  for (const event of events) {
    const [fromMs, toMs, pass] = [(event.startUs - startUs) / 1000, (endUs(event) - startUs) / 1000, passOf(event)];
    const key = `${pass} ${event.name}`;
    const last = latest.get(key);
    if (event.track !== 'compute' && last !== undefined && fromMs <= last.toMs + TOUCHING_MS) {
      last.toMs = Math.max(last.toMs, toMs);
      continue;
    }
    const bar = { name: event.name, layer: layerOf(event) ?? null, pass, fromMs, toMs };
    latest.set(key, bar);
    bars.push(bar);
  }
  return bars;
}

/** Share of a bar by which it may reach into the one before it in a lane: a transfer's latency. */
const OVERLAP = 0.05;

/** Spreads bars over as few lanes as it takes for none to hide another. */
function lanesOf(bars: readonly Bar[]): Bar[][] {
  const lanes: Bar[][] = [];
  for (const bar of bars) {
    const free = lanes.find((lane) => (lane.at(-1) as Bar).toMs <= bar.fromMs + OVERLAP * (bar.toMs - bar.fromMs));
    if (free === undefined) lanes.push([bar]);
    else free.push(bar);
  }
  return lanes;
}

/** @param events by start, on any clock */
export function timelineOf(events: readonly TraceEvent[]): Timeline {
  const { startUs, totalMs, ranks } = summarizeTrace(events);
  const byRank = groupBy(events.toSorted((a, b) => a.startUs - b.startUs), ({ rank }) => rank);
  return {
    lengthMs: totalMs,
    ranks: ranks.map(({ rank, exposed }) => {
      const byTrack = groupBy(byRank.get(rank) ?? [], ({ track }) => track);
      const rows = TRACKS.map((track): Row => ({ track, lanes: lanesOf(barsOf(byTrack.get(track) ?? [], startUs)) }));
      return {
        rank, rows: rows.filter(({ lanes }) => lanes.length > 0),
        exposed: exposed.map(([from, to]) => [(from - startUs) / 1000, (to - startUs) / 1000] as const),
      };
    }),
  };
}

/** A stretch of a timeline. */
export interface View {
  readonly fromMs: number;
  readonly toMs: number;
}

/** The passes of a timeline, ascending. */
export function passesOf({ ranks }: Timeline): number[] {
  const passes = new Set<number>();
  for (const { rows } of ranks) for (const { lanes } of rows) for (const { pass } of lanes.flat()) if (pass !== null) passes.add(pass);
  return [...passes].sort((a, b) => a - b);
}

/** From the beginning of a pass on any rank to its end on the last; by its compute where that was measured. null: the whole timeline. */
export function viewOf({ ranks, lengthMs }: Timeline, pass: number | null): View {
  const bars = ranks.flatMap(({ rows }) => rows.flatMap(({ track, lanes }) => lanes.flat().filter((bar) => bar.pass === pass).map((bar) => ({ track, bar }))));
  const computed = bars.filter(({ track }) => track === 'compute');
  const some = computed.length > 0 ? computed : bars;
  if (pass === null || some.length === 0) return { fromMs: 0, toMs: lengthMs };
  return { fromMs: some.reduce((least, { bar }) => Math.min(least, bar.fromMs), Infinity), toMs: some.reduce((most, { bar }) => Math.max(most, bar.toMs), 0) };
}

export interface PassStretch extends View {
  readonly pass: number;
}

/** When the first rank computes each pass. */
export function passStretches({ ranks: [first] }: Timeline): PassStretch[] {
  const bars = first?.rows.find(({ track }) => track === 'compute')?.lanes.flat() ?? [];
  return [...groupBy(bars, ({ pass }) => pass)].flatMap(([pass, own]) => (pass === null ? [] : [{
    pass, fromMs: own.reduce((least, { fromMs }) => Math.min(least, fromMs), Infinity), toMs: own.reduce((most, { toMs }) => Math.max(most, toMs), 0),
  }]));
}

/** Moments of a view at which something begins or ends on any rank, since the view's beginning; those within a thousandth of its length are one. */
export function momentsOf({ ranks }: Timeline, { fromMs, toMs }: View): number[] {
  const all = ranks.flatMap(({ rows, exposed }) => [...rows.flatMap(({ lanes }) => lanes.flat().flatMap((bar) => [bar.fromMs, bar.toMs])), ...exposed.flat()]);
  const least = (toMs - fromMs) / 1000;
  const moments: number[] = [];
  for (const ms of all.filter((one) => one >= fromMs && one <= toMs).map((one) => one - fromMs).sort((a, b) => a - b)) {
    if (ms - (moments.at(-1) ?? -Infinity) > least) moments.push(ms);
  }
  return moments;
}
