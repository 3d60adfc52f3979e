/**
 * A simulated run as a timeline, with the names and tracks of a real one, so that `asyncep timeline` can show both side by side.
 *
 * Where it differs from a real one: a transfer's bar is the time in which the link is busy with it, not that in which ranks wait for each other; there
 * is one for each message of rows; and what the model of a run leaves out has no bar (embedding, copies on the device).
 */
import type { TraceEvent, Track } from '../trace/events.ts';
import { EXCHANGE_NAMES } from '../trace/exchange-names.ts';
import type { Schedule, Step } from './schedule.ts';

const TRACKS_OF: Readonly<Record<Step['kind'], readonly (readonly [Track, 'rank' | 'to'])[]>> = {
  compute: [['compute', 'rank']], message: [['send', 'rank'], ['receive', 'to']], read: [['receive', 'to']], load: [['slot', 'to']],
};

/** Whole passes travel between stages, not layers. */
const belongsToPass = ({ exchange }: Pick<Step, 'exchange'>): boolean => exchange === 'stage';

function transferName({ kind, exchange, layer, pass }: Step): string {
  if (kind === 'load') return `copy layer ${layer}`;
  if (kind === 'read' || exchange === undefined) return `gather layer ${layer}`;
  return `${EXCHANGE_NAMES[exchange]} ${exchange === 'stage' ? `pass ${pass}` : `layer ${layer}`}`;
}

function waitName({ kind, exchange, layer, pass }: Step): string {
  if (kind !== 'message') return `wait for layer ${layer}`;
  return exchange === 'stage' ? `wait for rows of pass ${pass}` : `wait for rows of layer ${layer}`;
}

interface Span {
  readonly rank: number;
  readonly track: Track;
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly pass: number;
  readonly layer: number | null;
  readonly bytes?: number;
}

const eventOf = ({ rank, track, name, startMs, endMs, pass, layer, bytes }: Span): TraceEvent => ({
  name, rank, track, startUs: startMs * 1000, durationUs: (endMs - startMs) * 1000,
  args: { pass, ...(layer !== null && { layer }), ...(bytes !== undefined && { bytes }) },
});

const computeName = (layer: number | null): string => (layer === null ? 'head' : `layer ${layer}`);

/** The parts of a compute step one after the other, by their shares of its FLOPs. */
function computeSpans({ rank, pass, layer, flops, parts = [{ layer, flops }] }: Step, startMs: number, endMs: number): Span[] {
  let done = 0;
  const at = (): number => (done === flops ? endMs : startMs + ((endMs - startMs) * done) / flops);
  return parts.map((part, index) => {
    const from = index === 0 ? startMs : at(); // a step may have no FLOPs at all
    done += part.flops;
    return { rank, track: 'compute', name: computeName(part.layer), startMs: from, endMs: at(), pass, layer: part.layer };
  });
}

const transferSpans = (step: Step, startMs: number, endMs: number): Span[] => TRACKS_OF[step.kind].map(([track, end]) => ({
  rank: step[end], track, name: transferName(step), startMs, endMs, pass: step.pass, layer: belongsToPass(step) ? null : step.layer, bytes: step.bytes,
}));

/**
 * Time in which devices stood still because the bytes that their next work needs were not there: from the end of the work before, or from when nothing
 * but bytes was missing, until the last of them arrived.
 */
function waitSpans({ steps, startMs, endMs }: Schedule): Span[] {
  const computes = steps.flatMap(({ kind }, index) => (kind === 'compute' ? [index] : [])).sort((a, b) => (startMs[a] as number) - (startMs[b] as number) || a - b);
  const freeMs = new Map<number, number>();
  return computes.flatMap((index): Span[] => {
    const { rank, after } = steps[index] as Step;
    let from = freeMs.get(rank) ?? 0;
    let last: number | undefined;
    for (const before of after) {
      if ((steps[before] as Step).kind === 'compute') from = Math.max(from, endMs[before] as number);
      else if (last === undefined || (endMs[before] as number) > (endMs[last] as number)) last = before;
    }
    freeMs.set(rank, endMs[index] as number);
    if (last === undefined || (endMs[last] as number) <= from) return [];
    const awaited = steps[last] as Step;
    return [{ rank, track: 'wait', name: waitName(awaited), startMs: from, endMs: endMs[last] as number, pass: awaited.pass, layer: belongsToPass(awaited) ? null : awaited.layer }];
  });
}

/** The events of a schedule, by start; times count from the start of the run. Transfers that take no time have none. */
export function traceOf(schedule: Schedule): TraceEvent[] {
  const spans = schedule.steps.flatMap((step, index) => {
    const times = [schedule.startMs[index] as number, schedule.endMs[index] as number] as const;
    return step.kind === 'compute' ? computeSpans(step, ...times) : transferSpans(step, ...times);
  });
  return [...spans, ...waitSpans(schedule)].filter((span) => span.endMs > span.startMs).sort((a, b) => a.startMs - b.startMs).map(eventOf);
}
