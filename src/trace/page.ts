/**
 * Timelines as one HTML file without a request to anywhere: the page of web/timeline/ with its style, its scripts and the data inside.
 * What the page draws is worked out here (rows, lanes, exposed stretches, numbers); the page only looks at it.
 */
import { endUs, TRACKS, type Track, type TraceEvent } from './events.ts';
import type { Timeline } from './read-trace.ts';
import { layerOf, summarizeTrace, type RankSummary, type Times } from './summary.ts';

/** A timeline with the heading it gets. */
export interface NamedTimeline extends Timeline {
  readonly label: string;
}

/** Bars that do not overlap, by start, as columns: entry i of every list belongs to bar i. Times are microseconds since the timeline's start. */
export interface LaneData {
  readonly start: readonly number[];
  readonly duration: readonly number[];
  /** Index into `PageData.strings`. */
  readonly name: readonly number[];
  readonly layer: readonly (number | null)[];
  readonly pass: readonly (number | null)[];
  readonly bytes: readonly (number | null)[];
  /** The other arguments as one text, index into `PageData.strings`; null where there is none. */
  readonly more: readonly (number | null)[];
}

export interface RowData {
  readonly track: Track;
  readonly lanes: readonly LaneData[];
}

export interface RankData {
  readonly rank: number;
  readonly name: string;
  readonly times: Times;
  /** Starts and ends in turn. */
  readonly exposed: readonly number[];
  /** The tracks that have events, in the order of TRACKS. */
  readonly rows: readonly RowData[];
}

export interface PageData {
  readonly strings: readonly string[];
  readonly traces: readonly {
    readonly label: string;
    readonly totalMs: number;
    readonly mean: Times;
    readonly layers: readonly number[];
    readonly ranks: readonly RankData[];
  }[];
}

/** Nanoseconds are enough, and keep the file small. */
const rounded = (us: number): number => Math.round(us * 1000) / 1000;

/** Gives every text a number. */
function stringTable(): { strings: string[]; indexOf: (text: string) => number } {
  const strings: string[] = [];
  const known = new Map<string, number>();
  return {
    strings,
    indexOf(text) {
      let index = known.get(text);
      if (index === undefined) known.set(text, (index = strings.push(text) - 1));
      return index;
    },
  };
}

/** Spreads bars over as few lanes as it takes for none to hide another (nested bars, too). */
function lanesOf(events: readonly TraceEvent[]): TraceEvent[][] {
  const lanes: TraceEvent[][] = [];
  for (const event of events.toSorted((a, b) => a.startUs - b.startUs || b.durationUs - a.durationUs)) {
    const free = lanes.find((lane) => endUs(lane.at(-1) as TraceEvent) <= event.startUs);
    if (free === undefined) lanes.push([event]);
    else free.push(event);
  }
  return lanes;
}

const numberArg = ({ args }: TraceEvent, key: string): number | null => (typeof args?.[key] === 'number' ? args[key] : null);

/** `kind: copy, peer: 1`: what has no place of its own in the tooltip. */
const moreOf = ({ args = {} }: TraceEvent): string =>
  Object.entries(args).filter(([key, value]) => !(['layer', 'pass', 'bytes'].includes(key) && typeof value === 'number')).map(([key, value]) => `${key}: ${value}`).join(', ');

function laneData(events: readonly TraceEvent[], startUs: number, indexOf: (text: string) => number): LaneData {
  return {
    start: events.map((event) => rounded(event.startUs - startUs)),
    duration: events.map((event) => rounded(event.durationUs)),
    name: events.map(({ name }) => indexOf(name)),
    layer: events.map((event) => layerOf(event) ?? null),
    pass: events.map((event) => numberArg(event, 'pass')),
    bytes: events.map((event) => numberArg(event, 'bytes')),
    more: events.map((event) => (moreOf(event) === '' ? null : indexOf(moreOf(event)))),
  };
}

function timesOf({ computeMs, transferMs, exposedMs, overlapEfficiency }: Times): Times {
  return { computeMs, transferMs, exposedMs, overlapEfficiency };
}

/** What the page is given: every timeline begins at 0. */
export function pageData(timelines: readonly NamedTimeline[]): PageData {
  const { strings, indexOf } = stringTable();
  const traces = timelines.map(({ label, events, rankNames }) => {
    const summary = summarizeTrace(events);
    const rankData = (one: RankSummary): RankData => {
      const own = events.filter((event) => event.rank === one.rank);
      const rows = TRACKS.map((track): RowData => ({
        track, lanes: lanesOf(own.filter((event) => event.track === track)).map((lane) => laneData(lane, summary.startUs, indexOf)),
      }));
      return {
        rank: one.rank, name: rankNames.get(one.rank) ?? `rank ${one.rank}`, times: timesOf(one),
        exposed: one.exposed.flat().map((us) => rounded(us - summary.startUs)), rows: rows.filter(({ lanes }) => lanes.length > 0),
      };
    };
    return { label, totalMs: summary.totalMs, mean: summary.mean, layers: summary.layers.map(({ layer }) => layer), ranks: summary.ranks.map(rankData) };
  });
  return { strings, traces };
}

/** The files of web/timeline/ as text. */
export interface PageParts {
  /** Has the marks `<!-- style -->`, `<!-- data -->` and `<!-- script -->`, each once. */
  readonly html: string;
  readonly style: string;
  /** Modules, each after those it imports; see {@link joinModules}. */
  readonly scripts: readonly string[];
}

/** JSON that may stand inside a script element: no `<` can end the element or begin a comment. */
export const jsonForScript = (value: unknown): string => JSON.stringify(value).replaceAll('<', String.raw`\u003c`);

/**
 * Several modules as one: their imports (one statement a line, at the line's start) are dropped, because everything they name stands above,
 * and so is the word `export`. Names on the top level must be unique over all of them.
 */
export const joinModules = (scripts: readonly string[]): string =>
  scripts.map((script) => script.replaceAll(/^import .*;$/gm, '').replaceAll(/^export /gm, '')).join('\n');

/** A page without a request to anywhere: its template with what stands at the marks. */
export function joinPage({ html, style, scripts }: PageParts, data = ''): string {
  const inside: Record<string, string> = {
    style: `<style>\n${style}</style>`,
    data,
    script: `<script type="module">\n${joinModules(scripts)}</script>`,
  };
  return html.replaceAll(/<!-- (style|data|script) -->/g, (_, mark: string) => inside[mark] ?? '');
}

/** The whole page of timelines. */
export const renderPage = (parts: PageParts, data: PageData): string =>
  joinPage(parts, `<script type="application/json" id="data">${jsonForScript(data)}</script>`);
