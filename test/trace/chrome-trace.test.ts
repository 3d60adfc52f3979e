import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { assignLanes, writeTrace } from '../../src/trace/chrome-trace.ts';
import { TRACKS, type Track, type TraceEvent } from '../../src/trace/events.ts';

/** The Trace Event Format's rules for the two kinds of event that we write. */
const metadata = z.strictObject({
  ph: z.literal('M'),
  name: z.enum(['process_name', 'process_sort_index', 'thread_name', 'thread_sort_index']),
  pid: z.int(),
  tid: z.int(),
  args: z.union([z.strictObject({ name: z.string() }), z.strictObject({ sort_index: z.int() })]),
});
const complete = z.strictObject({
  ph: z.literal('X'),
  name: z.string().min(1),
  cat: z.string(),
  pid: z.int(),
  tid: z.int(),
  ts: z.number(),
  dur: z.number().nonnegative(),
  args: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
});
const traceFormat = z.strictObject({ displayTimeUnit: z.enum(['ms', 'ns']), traceEvents: z.array(z.union([metadata, complete])) });
type Complete = z.infer<typeof complete>;

const event = (rank: number, track: Track, startUs: number, durationUs: number, layer = 0): TraceEvent => ({
  name: `layer ${layer}`, rank, track, startUs, durationUs, args: { layer, pass: 0 },
});

const sample: TraceEvent[] = [
  event(1, 'compute', 100, 50, 2), event(0, 'compute', 0, 100, 1), event(0, 'compute', 100, 80, 2),
  event(0, 'receive', 5, 60, 2), event(0, 'receive', 40, 60, 3), event(0, 'wait', 99, 1, 2),
];

describe('writeTrace', () => {
  const trace = JSON.parse(JSON.stringify(writeTrace(sample, ['rank 0: llvmpipe']))) as unknown;
  const { traceEvents } = traceFormat.parse(trace);
  const bars = traceEvents.filter((one): one is Complete => one.ph === 'X');
  const named = (name: string) => traceEvents.filter((one) => one.ph === 'M' && one.name === name);

  it('keeps to the trace event format', () => {
    expect(traceFormat.safeParse(trace).success).toBe(true);
  });

  it('makes a process of every rank, with the given name or a plain one', () => {
    expect(named('process_name').map(({ pid, args }) => [pid, args])).toEqual([[0, { name: 'rank 0: llvmpipe' }], [1, { name: 'rank 1' }]]);
  });

  it('makes a thread of every track that has events', () => {
    const threads = named('thread_name').map(({ pid, args }) => `${pid} ${'name' in args ? args.name : ''}`);
    expect(threads).toEqual(['0 compute', '0 receive', '0 receive 2', '0 wait', '1 compute']);
  });

  it('orders the threads of a rank as the tracks', () => {
    const five = JSON.parse(JSON.stringify(writeTrace(TRACKS.toReversed().map((track) => event(0, track, 0, 1))))) as unknown;
    const metadataOf = (name: string) => traceFormat.parse(five).traceEvents.filter((one) => one.ph === 'M' && one.name === name);
    const place = new Map(metadataOf('thread_sort_index').map(({ tid, args }) => [tid, 'sort_index' in args ? Number(args.sort_index) : NaN]));
    const threads = metadataOf('thread_name').toSorted((a, b) => (place.get(a.tid) ?? NaN) - (place.get(b.tid) ?? NaN));
    expect(threads.map(({ args }) => ('name' in args ? args.name : ''))).toEqual(['compute', 'send', 'receive', 'slot', 'wait']);
    expect(new Set(threads.map(({ pid }) => pid))).toEqual(new Set([0]));
  });

  it('writes every event once, in microseconds, with its arguments', () => {
    expect(bars).toHaveLength(sample.length);
    expect(bars.find(({ cat, pid, args }) => cat === 'compute' && pid === 0 && args['layer'] === 2)).toMatchObject({ ts: 100, dur: 80, name: 'layer 2' });
  });

  it('never lets bars of one thread overlap without nesting', () => {
    for (const a of bars) {
      for (const b of bars) {
        if (a === b || a.pid !== b.pid || a.tid !== b.tid || a.ts > b.ts) continue;
        const apart = b.ts >= a.ts + a.dur;
        const inside = b.ts + b.dur <= a.ts + a.dur;
        expect(apart || inside, `${a.name} and ${b.name} of thread ${a.tid}`).toBe(true);
      }
    }
  });

  it('writes an empty timeline for no events', () => {
    expect(writeTrace([])).toEqual({ displayTimeUnit: 'ms', traceEvents: [] });
  });
});

describe('assignLanes', () => {
  const lanesOf = (events: TraceEvent[]): number[] => assignLanes(events).map(({ lane }) => lane);

  it('keeps bars that follow each other in one lane', () => {
    expect(lanesOf([event(0, 'receive', 0, 10), event(0, 'receive', 10, 10), event(0, 'receive', 30, 1)])).toEqual([0, 0, 0]);
  });

  it('keeps a bar inside the one that encloses it', () => {
    expect(lanesOf([event(0, 'compute', 0, 100), event(0, 'compute', 0, 40), event(0, 'compute', 40, 60)])).toEqual([0, 0, 0]);
  });

  it('opens another lane for a bar that reaches over the end of the one before', () => {
    expect(lanesOf([event(0, 'receive', 0, 10), event(0, 'receive', 5, 10), event(0, 'receive', 12, 10)])).toEqual([0, 1, 0]);
  });
});
