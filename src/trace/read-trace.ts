/** Reads a timeline back from the Chrome trace JSON that `chrome-trace.ts` writes; other traces are refused. */
import { z } from 'zod';
import { InputError } from '../errors.ts';
import { TRACKS, type TraceEvent } from './events.ts';

export interface Timeline {
  /** In the order of the file. */
  readonly events: readonly TraceEvent[];
  /** Name of each rank that has one. */
  readonly rankNames: ReadonlyMap<number, string>;
}

const count = z.int({ error: 'expected a whole number' }).nonnegative({ error: 'expected 0 or more' });
const microseconds = z.number({ error: 'expected a number of microseconds' });

const bar = z.object({
  ph: z.literal('X'),
  name: z.string({ error: 'expected the name of a bar' }),
  cat: z.enum(TRACKS, { error: `expected a track: ${TRACKS.join(', ')}` }),
  /** The rank. */
  pid: count,
  ts: microseconds,
  dur: microseconds.nonnegative({ error: 'expected 0 or more microseconds' }),
  args: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()], { error: 'expected a string, a number, true or false' }), { error: 'expected an object' }).optional(),
});

const processName = z.object({
  ph: z.literal('M'), name: z.literal('process_name'), pid: count,
  args: z.object({ name: z.string({ error: 'expected the name of a rank' }) }, { error: 'expected an object with a name' }),
});
const otherMetadata = z.object({ ph: z.literal('M'), name: z.enum(['process_sort_index', 'thread_name', 'thread_sort_index'], { error: 'expected the name of a rank or a track, or its place' }) });

const event = z.discriminatedUnion('ph', [bar, z.discriminatedUnion('name', [processName, otherMetadata])], {
  error: 'expected a bar ("ph": "X") or a name ("ph": "M") as --trace writes them',
});

const EXPECTED = 'expected a timeline that asyncep wrote with --trace';

const file = z.object(
  { traceEvents: z.array(z.unknown(), { error: `${EXPECTED}: a list of events` }).min(1, { error: `is empty; ${EXPECTED}, with at least one pass` }) },
  { error: `${EXPECTED}: a JSON object with traceEvents` },
);

/** `traceEvents[17].dur`. */
const fieldOf = (path: readonly PropertyKey[]): string =>
  path.map((part, index) => (typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${String(part)}`)).join('');

function parse<T>(schema: z.ZodType<T>, json: unknown, source: string, path: readonly PropertyKey[]): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new InputError(source, fieldOf([...path, ...(issue?.path ?? [])]), issue?.message ?? EXPECTED);
}

/**
 * @param json the parsed file
 * @param source the file's name, for messages
 * @throws InputError with file and field when it is not one of ours
 */
export function readTrace(json: unknown, source: string): Timeline {
  const events: TraceEvent[] = [];
  const rankNames = new Map<number, string>();
  // One by one: the first that is wrong ends it, where a schema of the whole list would tell of each of a million.
  for (const [index, raw] of parse(file, json, source, []).traceEvents.entries()) {
    const one = parse(event, raw, source, ['traceEvents', index]);
    if (one.ph === 'X') {
      const { name, pid: rank, cat: track, ts: startUs, dur: durationUs, args } = one;
      events.push({ name, rank, track, startUs, durationUs, ...(args === undefined ? {} : { args }) });
    } else if (one.name === 'process_name') {
      rankNames.set(one.pid, one.args.name);
    }
  }
  if (events.length === 0) throw new InputError(source, 'traceEvents', `has no bars; ${EXPECTED}, with at least one pass`);
  return { events, rankNames };
}
