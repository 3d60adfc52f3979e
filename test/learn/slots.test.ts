/** The drawing's model on events made by hand: bars, slots, what a rank does. */
import { describe, expect, it } from 'vitest';
import type { Track, TraceEvent } from '../../src/trace/events.ts';
import { allInWords, doingAt, inWords } from '../../web/learn/drawing/doing.ts';
import { slotsAt, staysOf } from '../../web/learn/drawing/slots.ts';
import { momentsOf, passesOf, passStretches, timelineOf, viewOf, type DrawnRank } from '../../web/learn/drawing/timeline.ts';

const ORIGIN_US = 7_000_000;
const bar = (track: Track, layer: number, fromMs: number, toMs: number, { pass = 0, rank = 0, name = '' } = {}): TraceEvent => ({
  name: name || `${{ compute: '', wait: 'wait for ', receive: 'gather ', slot: 'copy ', send: 'dispatch ' }[track]}layer ${layer}`,
  rank, track, startUs: ORIGIN_US + fromMs * 1000, durationUs: (toMs - fromMs) * 1000, args: { layer, pass },
});

/** Layer 1 was there; 2 and 3 come from two peers each, 3 late: the device stands still from 20 to 24. */
const events = [
  bar('compute', 0, 0, 5), bar('compute', 1, 5, 10), bar('compute', 2, 10, 20), bar('wait', 3, 20, 24), bar('compute', 3, 24, 30),
  bar('receive', 2, 0, 4), bar('receive', 2, 4, 8), bar('receive', 3, 10, 17), bar('receive', 3, 17, 24), bar('receive', 1, 22, 26, { pass: 1 }),
];
const rankOf = (some: readonly TraceEvent[]): DrawnRank => timelineOf(some).ranks[0] as DrawnRank;

describe('a timeline', () => {
  it('counts milliseconds from its first event, and draws the parts of a gather as one bar', () => {
    const { lengthMs, ranks } = timelineOf(events);
    expect(lengthMs).toBe(30);
    const receive = ranks[0]?.rows.find(({ track }) => track === 'receive');
    expect(receive?.lanes).toEqual([
      [expect.objectContaining({ layer: 2, fromMs: 0, toMs: 8 }), expect.objectContaining({ layer: 3, fromMs: 10, toMs: 24 })],
      [expect.objectContaining({ layer: 1, pass: 1, fromMs: 22, toMs: 26 })], // beside the one that is not over
    ]);
    expect(ranks[0]?.exposed).toEqual([[20, 24]]);
  });

  it('shows a pass from its first compute to its last, or all of it', () => {
    const two = timelineOf([...events, bar('compute', 0, 30, 33, { pass: 1 }), bar('compute', 0, 31, 36, { pass: 1, rank: 1 })]);
    expect(passesOf(two)).toEqual([0, 1]);
    expect(viewOf(two, 0)).toEqual({ fromMs: 0, toMs: 30 });
    expect(viewOf(two, 1)).toEqual({ fromMs: 30, toMs: 36 }); // not from 22, when its first gather began
    expect(viewOf(two, null)).toEqual({ fromMs: 0, toMs: 36 });
    expect(passStretches(two)).toEqual([{ pass: 0, fromMs: 0, toMs: 30 }, { pass: 1, fromMs: 30, toMs: 33 }]);
    expect(momentsOf(two, viewOf(two, 1))).toEqual([0, 1, 3, 6]);
  });

  it('has a view without compute where no layer was timed', () => {
    expect(viewOf(timelineOf([bar('receive', 1, 2, 5), bar('receive', 2, 5, 9, { pass: 1 })]), 1)).toEqual({ fromMs: 3, toMs: 7 });
  });
});

describe('slots', () => {
  const stays = staysOf(rankOf(events), 2);
  const at = (ms: number) => slotsAt(stays, 2, ms).map(({ layer, state, level }) => [layer, state, Math.round(level * 100)]);

  it('are taken in turn by the layers that travel, over all passes', () => {
    expect(stays.map(({ pass, layer, slot }) => [pass, layer, slot])).toEqual([[0, 1, 0], [0, 2, 1], [0, 3, 0], [1, 1, 1]]);
  });

  it.each([
    [2, [1, 'full', 100], [2, 'filling', 25]], // 1 was there before; a quarter of 2
    [7.5, [1, 'computing', 50], [2, 'filling', 94]],
    [9, [1, 'computing', 20], [2, 'full', 100]],
    [17, [3, 'filling', 50], [2, 'computing', 30]], // the slot of 1 is that of 3 as soon as 1 has been computed
    [21, [3, 'filling', 79], [null, 'empty', 0]], // 2 has been computed, and nothing comes yet
    [25, [3, 'computing', 83], [1, 'filling', 75]],
    [30, [null, 'empty', 0], [1, 'full', 100]],
  ])('at %f ms hold %j and %j', (ms, first, second) => {
    expect(at(ms)).toEqual([first, second]);
  });

  it('do not exist where rows travel, or nothing', () => {
    expect(staysOf(rankOf([bar('compute', 1, 0, 4), bar('receive', 1, 4, 6, { name: 'dispatch layer 1' })]), 2)).toEqual([]);
    expect(staysOf(rankOf(events), 0)).toEqual([]);
  });

  it('are filled by two channels at once, and by copies of real runs: all there when the last is over', () => {
    const both = staysOf(rankOf([bar('receive', 1, 0, 4), bar('slot', 1, 0, 8), bar('compute', 1, 9, 12)]), 2);
    expect(slotsAt(both, 2, 4)[0]).toMatchObject({ state: 'filling', level: 8 / 12 });
    expect(slotsAt(both, 2, 8)[0]).toMatchObject({ state: 'full', level: 1 });
  });
});

describe('what a rank does', () => {
  const rank = rankOf(events);
  it.each([
    [2.5, 'computes layer 0 (50 %) while layer 2 comes in (31 %)'],
    [9, 'computes layer 1 (80 %)'],
    [21, 'stands still: layer 3 is not there yet (78 %)'],
    [28, 'computes layer 3 (66 %)'],
    [31, 'has nothing to do'],
  ])('at %f ms: %s', (ms, words) => expect(inWords(rank, ms)).toBe(words));

  it('is told of once for all that do the same', () => {
    const { ranks } = timelineOf([...events, ...events.map((event) => ({ ...event, rank: 1 })), bar('compute', 0, 0, 10, { rank: 2 })]);
    expect(allInWords(ranks, 21)).toBe('each of the ranks 0, 1 stands still: layer 3 is not there yet (78 %); rank 2 has nothing to do');
    expect(allInWords(ranks.slice(0, 2), 9)).toBe('each of 2 ranks computes layer 1 (80 %)');
  });

  it('is no waiting while the device still computes', () => {
    const ahead = rankOf([bar('compute', 0, 0, 5), bar('wait', 1, 2, 8), bar('receive', 1, 0, 8)]);
    expect(doingAt(ahead, 3).waits).toBeNull();
    expect(doingAt(ahead, 6).waits).toMatchObject({ layer: 1 });
  });
});
