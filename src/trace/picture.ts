/**
 * The schedule as text, for a terminal or a README:
 *
 *     rank 0  compute  [=== 2 ===][=== 3 ===][=== 4 ===]
 *             receive  [= 3 =]    [= 4 =]    [= 5 =]
 *
 * Rows are compute, send and receive, as far as the strategy has them. Copies into slots and waits are left out: the first are moments,
 * the second are the gaps in compute.
 */
import { endUs, type Track, type TraceEvent } from './events.ts';
import { layerOf } from './summary.ts';

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

const ROWS: readonly Track[] = ['compute', 'send', 'receive'];

const passOf = ({ args }: TraceEvent): number | undefined => (typeof args?.['pass'] === 'number' ? args['pass'] : undefined);

const byStart = (events: readonly TraceEvent[]): TraceEvent[] => events.toSorted((a, b) => a.startUs - b.startUs);

const distinct = (numbers: readonly (number | undefined)[]): number[] =>
  [...new Set(numbers)].filter((one) => one !== undefined).sort((a, b) => a - b);

const layersComputed = (events: readonly TraceEvent[]): TraceEvent[] =>
  events.filter((event) => event.track === 'compute' && layerOf(event) !== undefined);

/**
 * Ranks that compute whole passes go each at its own pace, and one of them sets the stretch of time: the first that computes all the layers.
 * Where the layers are split over the ranks, all of them do.
 */
function ofOneRank(compute: readonly TraceEvent[]): readonly TraceEvent[] {
  const layersOf = (events: readonly TraceEvent[]): number => new Set(events.map(layerOf)).size;
  const ownOf = (rank: number): TraceEvent[] => compute.filter((event) => event.rank === rank);
  const whole = distinct(compute.map(({ rank }) => rank)).find((rank) => layersOf(ownOf(rank)) === layersOf(compute));
  return whole === undefined ? compute : ownOf(whole);
}

/** Stretch of time in which the wanted layers of the wanted pass are computed. */
function windowOf(events: readonly TraceEvent[], options: PictureOptions): Window | undefined {
  const compute = layersComputed(events);
  const pass = options.pass ?? distinct(compute.map(passOf)).at(-1);
  const shown = ofOneRank(compute.filter((event) => (pass === undefined || passOf(event) === pass) && (options.layers?.includes(layerOf(event) as number) ?? true)));
  if (shown.length === 0) return undefined;
  const fromUs = shown.reduce((least, { startUs }) => Math.min(least, startUs), Infinity);
  return { fromUs, toUs: shown.reduce((most, event) => Math.max(most, endUs(event)), -Infinity), columns: options.columns ?? 80 };
}

/** Four layers in the middle of a pass in the middle of the run: what to show of a long timeline. */
export function middleOfRun(events: readonly TraceEvent[]): Pick<PictureOptions, 'pass' | 'layers'> {
  const compute = layersComputed(events);
  const layers = distinct(compute.map(layerOf));
  const passes = distinct(compute.map(passOf));
  const from = Math.max(0, Math.floor(layers.length / 2) - 2);
  const pass = passes[Math.floor(passes.length / 2)];
  return { layers: layers.slice(from, from + 4), ...(pass === undefined ? {} : { pass }) };
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

interface Bar {
  readonly label: string;
  readonly startUs: number;
  readonly endUs: number;
}

/** Bars by start; those of one label that overlap (the same layer from several peers) are one. */
function barsOf(events: readonly TraceEvent[], labelOf: (event: TraceEvent) => string): Bar[] {
  const bars: Bar[] = [];
  const latest = new Map<string, number>(); // label -> index of its last bar
  for (const event of byStart(events)) {
    const label = labelOf(event);
    const index = latest.get(label) ?? -1;
    const before = bars[index];
    if (before !== undefined && event.startUs < before.endUs) bars[index] = { ...before, endUs: Math.max(before.endUs, endUs(event)) };
    else latest.set(label, bars.push({ label, startUs: event.startUs, endUs: endUs(event) }) - 1);
  }
  return bars;
}

/** A bar that begins before the one in front of it has ended shows its rest only: every column stands for its own time. */
function drawRow(bars: readonly Bar[], { fromUs, toUs, columns }: Window): string {
  const column = (us: number): number => Math.round((Math.min(Math.max(us, fromUs), toUs) - fromUs) / (toUs - fromUs) * columns);
  let row = '';
  for (const { label, startUs, endUs } of bars) {
    if (endUs <= fromUs || startUs >= toUs) continue;
    const start = Math.max(Math.min(column(startUs), columns - 1), row.length);
    const end = Math.max(column(endUs), Math.min(column(startUs), columns - 1) + 1);
    if (start < end) row = row.padEnd(start) + bar(label, end - start);
  }
  return row;
}

/** Whether some rank computes passes in turns: a layer of an earlier pass after one of a later pass. */
function passesInterleave(events: readonly TraceEvent[]): boolean {
  const latest = new Map<number, number>(); // rank -> the highest pass so far
  return byStart(layersComputed(events)).some((event) => {
    const [pass, before] = [passOf(event) ?? 0, latest.get(event.rank) ?? -Infinity];
    latest.set(event.rank, Math.max(pass, before));
    return pass < before;
  });
}

/** The layer's number; where passes take turns, with a letter for the pass: `3a`, `3b`. */
function labels(events: readonly TraceEvent[]): (event: TraceEvent) => string {
  const passes = passesInterleave(events) ? distinct(events.map(passOf)) : [];
  return (event) => {
    const [layer, pass] = [layerOf(event), passOf(event)];
    const turn = pass === undefined ? -1 : passes.indexOf(pass);
    return layer === undefined ? event.name : `${layer}${turn === -1 ? '' : String.fromCharCode(97 + turn % 26)}`;
  };
}

function drawRank(events: readonly TraceEvent[], rows: readonly Track[], rank: number, window: Window, labelOf: (event: TraceEvent) => string): string[] {
  return rows.map((track, index) => {
    const label = `${(index === 0 ? `rank ${rank}` : '').padEnd(8)}${track}`.padEnd(LABEL_COLUMNS);
    return (label + drawRow(barsOf(events.filter((event) => event.rank === rank && event.track === track), labelOf), window)).trimEnd();
  });
}

/**
 * Draws the layers of one pass, a row per rank and track; bars carry the layer's number.
 * @returns lines joined by newlines; empty when no event fits the options
 */
export function drawSchedule(events: readonly TraceEvent[], options: PictureOptions = {}): string {
  const window = windowOf(events, options);
  if (window === undefined || window.toUs <= window.fromUs) return '';
  const shown = events.filter((event) => ROWS.includes(event.track) && event.startUs < window.toUs && endUs(event) > window.fromUs);
  const ranks = distinct(events.map(({ rank }) => rank));
  const rows = ROWS.filter((track) => events.some((event) => event.track === track));
  const axis = `${' '.repeat(LABEL_COLUMNS)}0${`${((window.toUs - window.fromUs) / 1000).toFixed(1)} ms`.padStart(window.columns - 1)}`;
  const labelOf = labels(shown);
  return [...ranks.flatMap((rank) => drawRank(shown, rows, rank, window, labelOf)), axis].join('\n');
}
