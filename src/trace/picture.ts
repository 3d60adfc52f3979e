/**
 * The schedule as text, for a terminal or a README:
 *
 *     rank 0  compute  [=== 2 ===][=== 3 ===][=== 4 ===]
 *             gather   [= 3 =]    [= 4 =]    [= 5 =]
 */
import { endUs, TRACKS, type Track, type TraceEvent } from './events.ts';

export interface PictureOptions {
  /** Columns of the time axis (without the labels on the left). */
  readonly columns?: number;
  /** Layers whose compute sets the stretch of time that is shown; the bars of others that reach into it are cut. */
  readonly layers?: readonly number[];
  /** Pass that is shown; the last one when not given. */
  readonly pass?: number;
}

interface Window {
  readonly fromUs: number;
  readonly toUs: number;
  readonly columns: number;
}

const LABEL_COLUMNS = 17;

const numberOf = (event: TraceEvent, key: string): number => Number(event.args?.[key] ?? Number.NaN);

/** Stretch of time in which the wanted layers of the wanted pass are computed, over all ranks. */
function windowOf(events: readonly TraceEvent[], options: PictureOptions): Window | undefined {
  const compute = events.filter((event) => event.track === 'compute' && !Number.isNaN(numberOf(event, 'layer')));
  const pass = options.pass ?? Math.max(...compute.map((event) => numberOf(event, 'pass')));
  const shown = compute.filter((event) =>
    (Number.isNaN(pass) || numberOf(event, 'pass') === pass) && (options.layers?.includes(numberOf(event, 'layer')) ?? true));
  if (shown.length === 0) return undefined;
  const fromUs = Math.min(...shown.map(({ startUs }) => startUs));
  return { fromUs, toUs: Math.max(...shown.map(endUs)), columns: options.columns ?? 80 };
}

/** `[=== 3 ===]` in exactly `columns` characters; without room for the label only its middle remains. */
function bar(label: string, columns: number): string {
  if (columns < label.length + 2) return columns === 1 ? '|' : `[${'='.repeat(Math.max(0, columns - 2))}]`;
  const room = columns - 2 - label.length;
  if (room < 2) return `[${label.padEnd(columns - 2)}]`;
  const fill = room - 2;
  const left = Math.floor(fill / 2);
  return `[${'='.repeat(left)} ${label} ${'='.repeat(fill - left)}]`;
}

function drawRow(events: readonly TraceEvent[], { fromUs, toUs, columns }: Window): string {
  const column = (us: number): number => Math.round((Math.min(Math.max(us, fromUs), toUs) - fromUs) / (toUs - fromUs) * columns);
  let row = '';
  for (const event of events.toSorted((a, b) => a.startUs - b.startUs)) {
    const start = Math.max(column(event.startUs), row.length);
    const width = Math.max(column(endUs(event)) - start, 1);
    if (endUs(event) <= fromUs || event.startUs >= toUs || start >= columns) continue;
    row = row.padEnd(start) + bar(String(event.args?.['layer'] ?? event.name), width);
  }
  return row;
}

function drawRank(events: readonly TraceEvent[], rank: number, window: Window): string[] {
  const has = (track: Track): boolean => events.some((event) => event.track === track);
  return TRACKS.filter(has).map((track, index) => {
    const label = `${(index === 0 ? `rank ${rank}` : '').padEnd(8)}${track}`.padEnd(LABEL_COLUMNS);
    return (label + drawRow(events.filter((event) => event.rank === rank && event.track === track), window)).trimEnd();
  });
}

/**
 * Draws the layers of one pass, a row per rank and track; bars carry the layer's number.
 * @returns lines joined by newlines; empty when no event fits the options
 */
export function drawSchedule(events: readonly TraceEvent[], options: PictureOptions = {}): string {
  const window = windowOf(events, options);
  events = events.filter(({ args }) => args?.['kind'] !== 'copy'); // a moment on the device; it would hide the bar of the gather
  if (window === undefined || window.toUs <= window.fromUs) return '';
  const ranks = [...new Set(events.map(({ rank }) => rank))].toSorted((a, b) => a - b);
  const axis = `${' '.repeat(LABEL_COLUMNS)}0${`${((window.toUs - window.fromUs) / 1000).toFixed(1)} ms`.padStart(window.columns - 1)}`;
  return [...ranks.flatMap((rank) => drawRank(events, rank, window)), axis].join('\n');
}
