import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { writeTrace } from '../../src/trace/chrome-trace.ts';
import { TRACKS, type TraceEvent } from '../../src/trace/events.ts';
import { readTrace } from '../../src/trace/read-trace.ts';

const event = (fields: object = {}) => ({ ph: 'X', name: 'layer 1', cat: 'compute', pid: 0, tid: 1, ts: 10, dur: 5, args: { layer: 1 }, ...fields });
const fileOf = (...traceEvents: unknown[]) => ({ displayTimeUnit: 'ms', traceEvents });

describe('readTrace', () => {
  it('reads back every event and every name that writeTrace wrote', () => {
    const time = fc.double({ min: 0, max: 1e9, noNaN: true });
    const some = fc.array(fc.record({
      name: fc.string({ minLength: 1 }), rank: fc.nat(5), track: fc.constantFrom(...TRACKS), startUs: time, durationUs: time,
      args: fc.dictionary(fc.string().filter((key) => key !== '__proto__'), fc.oneof(fc.string(), fc.integer(), fc.boolean())),
    }), { minLength: 1 });
    const key = (one: TraceEvent): string => JSON.stringify(one, ['rank', 'track', 'startUs', 'durationUs', 'name']);
    const sorted = (events: readonly TraceEvent[]): TraceEvent[] => events.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
    fc.assert(fc.property(some, (events) => {
      const json = JSON.parse(JSON.stringify(writeTrace(events, ['rank 0: llvmpipe']))) as unknown;
      const back = readTrace(json, 't.json');
      expect(sorted(back.events).map(key)).toEqual(sorted(JSON.parse(JSON.stringify(events)) as TraceEvent[]).map(key));
      for (const { rank } of events) expect(back.rankNames.get(rank)).toBe(rank === 0 ? 'rank 0: llvmpipe' : `rank ${rank}`);
    }));
  });

  it('keeps the arguments of events', () => {
    expect(readTrace(fileOf(event({ args: { layer: 2, bytes: 7, kind: 'copy' } })), 't.json').events[0]?.args).toEqual({ layer: 2, bytes: 7, kind: 'copy' });
  });

  it.each([
    ['a list', [event()], 't.json: expected a timeline that asyncep wrote with --trace: a JSON object with traceEvents'],
    ['no list of events', {}, 't.json: traceEvents: expected a timeline that asyncep wrote with --trace: a list of events'],
    ['an empty list', fileOf(), 't.json: traceEvents: is empty; expected a timeline that asyncep wrote with --trace, with at least one pass'],
    ['names only', fileOf({ ph: 'M', name: 'thread_name' }), 't.json: traceEvents: has no bars; expected a timeline that asyncep wrote with --trace, with at least one pass'],
    ['an event of another program', fileOf(event(), { ph: 'B', name: 'x' }), 't.json: traceEvents[1].ph: expected a bar ("ph": "X") or a name ("ph": "M") as --trace writes them'],
    ['a track of another program', fileOf(event({ cat: 'gpu' })), 't.json: traceEvents[0].cat: expected a track: compute, send, receive, slot, wait'],
    ['a rank that is none', fileOf(event({ pid: -1 })), 't.json: traceEvents[0].pid: expected 0 or more'],
    ['a duration below 0', fileOf(event({ dur: -1 })), 't.json: traceEvents[0].dur: expected 0 or more microseconds'],
    ['a start that is no number', fileOf(event({ ts: '10' })), 't.json: traceEvents[0].ts: expected a number of microseconds'],
    ['arguments that are no plain values', fileOf(event({ args: { layer: {} } })), 't.json: traceEvents[0].args.layer: expected a string, a number, true or false'],
    ['a rank with no name', fileOf(event(), { ph: 'M', name: 'process_name', pid: 0, args: {} }), 't.json: traceEvents[1].args.name: expected the name of a rank'],
  ])('refuses %s, naming the field and what was expected', (_, json, message) => {
    expect(() => readTrace(json, 't.json')).toThrow(message);
  });
});
