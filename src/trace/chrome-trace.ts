/**
 * Chrome trace JSON (the "Trace Event Format"), as Perfetto and chrome://tracing open it: a process per rank, a thread
 * per track, complete events ("X") in microseconds.
 */
import { endUs, TRACKS, type Track, type TraceEvent } from './events.ts';

interface ChromeMetadata {
  readonly ph: 'M';
  readonly name: 'process_name' | 'process_sort_index' | 'thread_name' | 'thread_sort_index';
  readonly pid: number;
  readonly tid: number;
  readonly args: { readonly name: string } | { readonly sort_index: number };
}

interface ChromeComplete {
  readonly ph: 'X';
  readonly name: string;
  readonly cat: Track;
  readonly pid: number;
  readonly tid: number;
  /** Microseconds. */
  readonly ts: number;
  readonly dur: number;
  readonly args: Readonly<Record<string, string | number | boolean>>;
}

export interface ChromeTrace {
  readonly displayTimeUnit: 'ms';
  readonly traceEvents: readonly (ChromeMetadata | ChromeComplete)[];
}

/** Threads of one track are numbered from here, so that a track may need more than one. */
const LANES_PER_TRACK = 100;

/**
 * Bars of one thread must nest or follow each other; events of a track that overlap otherwise (two layers on their way)
 * are spread over as many lanes as it takes.
 */
export function assignLanes(events: readonly TraceEvent[]): { event: TraceEvent; lane: number }[] {
  const openUntil: number[][] = []; // per lane, the ends of the bars that are open, outermost first
  const ordered = events.toSorted((a, b) => a.startUs - b.startUs || b.durationUs - a.durationUs);
  return ordered.map((event) => {
    let lane = openUntil.findIndex((ends) => fits(ends, event));
    if (lane === -1) lane = openUntil.push([]) - 1;
    openUntil[lane]?.push(endUs(event));
    return { event, lane };
  });
}

/** Whether the event follows the lane's bars or lies inside the innermost open one; drops bars that are over. */
function fits(ends: number[], event: TraceEvent): boolean {
  while ((ends.at(-1) ?? Infinity) <= event.startUs) ends.pop();
  return endUs(event) <= (ends.at(-1) ?? Infinity);
}

function processNames(rank: number, name: string): ChromeMetadata[] {
  const of = { ph: 'M', pid: rank, tid: 0 } as const;
  return [
    { ...of, name: 'process_name', args: { name } },
    { ...of, name: 'process_sort_index', args: { sort_index: rank } },
  ];
}

function threadNames(rank: number, tid: number, name: string): ChromeMetadata[] {
  const of = { ph: 'M', pid: rank, tid } as const;
  return [
    { ...of, name: 'thread_name', args: { name } },
    { ...of, name: 'thread_sort_index', args: { sort_index: tid } },
  ];
}

function trackEvents(events: readonly TraceEvent[], rank: number, track: Track): (ChromeMetadata | ChromeComplete)[] {
  const placed = assignLanes(events.filter((event) => event.rank === rank && event.track === track));
  const firstTid = TRACKS.indexOf(track) * LANES_PER_TRACK + 1;
  const lanes = [...new Set(placed.map(({ lane }) => lane))];
  return [
    ...lanes.flatMap((lane) => threadNames(rank, firstTid + lane, lane === 0 ? track : `${track} ${lane + 1}`)),
    ...placed.map(({ event, lane }): ChromeComplete => ({
      ph: 'X',
      name: event.name,
      cat: track,
      pid: rank,
      tid: firstTid + lane,
      ts: event.startUs,
      dur: event.durationUs,
      args: event.args ?? {},
    })),
  ];
}

/**
 * The whole timeline as an object for `JSON.stringify`.
 * @param rankNames names for ranks, e.g. `rank 0: llvmpipe`; a rank without one is called `rank <n>`
 */
export function writeTrace(events: readonly TraceEvent[], rankNames: readonly string[] = []): ChromeTrace {
  const ranks = [...new Set(events.map(({ rank }) => rank))].toSorted((a, b) => a - b);
  const traceEvents = ranks.flatMap((rank) => [
    ...processNames(rank, rankNames[rank] ?? `rank ${rank}`),
    ...TRACKS.flatMap((track) => trackEvents(events, rank, track)),
  ]);
  return { displayTimeUnit: 'ms', traceEvents };
}
