import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Track, TraceEvent } from '../../src/trace/events.ts';
import { difference, lengthUs, union } from '../../src/trace/intervals.ts';
import { summarizeTrace } from '../../src/trace/summary.ts';

const bar = (rank: number, track: Track, layer: number, fromMs: number, toMs: number): TraceEvent => ({
  name: `layer ${layer}`, rank, track, startUs: fromMs * 1000, durationUs: (toMs - fromMs) * 1000, args: { layer, pass: 0 },
});

const times = (computeMs: number, transferMs: number, exposedMs: number, overlapEfficiency: number) => ({ computeMs, transferMs, exposedMs, overlapEfficiency });

describe('summarizeTrace', () => {
  /*
   * ms       0   1   2   3   4   5   6   7   8   9  10
   * compute  [ layer 0  ]        [   layer 1    ]
   * receive  [ layer 1 (peer 1)  ]       [ layer 2 ]
   * receive      [ layer 1 (peer 2)]
   * wait         [   layer 1     ]               [2 ]
   */
  const late = [
    bar(0, 'compute', 0, 0, 3), bar(0, 'compute', 1, 5, 9),
    bar(0, 'receive', 1, 0, 5), bar(0, 'receive', 1, 1, 4), bar(0, 'receive', 2, 7, 10),
    bar(0, 'wait', 1, 1, 5), bar(0, 'wait', 2, 9, 10),
  ];

  it('counts overlapping bars once, and of a wait only what compute did not cover', () => {
    const { ranks, totalMs, startUs } = summarizeTrace(late);
    expect([startUs, totalMs]).toEqual([0, 10]);
    expect(ranks).toEqual([{ rank: 0, ...times(7, 8, 3, 1 - 3 / 8), exposed: [[3000, 5000], [9000, 10_000]] }]);
  });

  it('tells what each layer took: its own transfers, and the waits for it', () => {
    expect(summarizeTrace(late).layers).toEqual([
      { layer: 0, ...times(3, 0, 0, 1) }, { layer: 1, ...times(4, 5, 2, 1 - 2 / 5) }, { layer: 2, ...times(0, 3, 1, 1 - 1 / 3) },
    ]);
  });

  it('hides nothing behind the compute of another rank, and takes means over the ranks', () => {
    const other = [bar(1, 'compute', 0, 2, 6), bar(1, 'send', 1, 2, 4), bar(1, 'slot', 1, 4, 5)];
    const { ranks, mean, totalMs } = summarizeTrace([...other, ...late]);
    expect(ranks.map(({ rank, exposedMs }) => [rank, exposedMs])).toEqual([[0, 3], [1, 0]]);
    expect(ranks[1]).toMatchObject(times(4, 3, 0, 1));
    expect(mean).toEqual(times(5.5, 5.5, 1.5, 1 - 1.5 / 5.5));
    expect(totalMs).toBe(10);
  });

  it('does not call a transfer exposed that nobody waits for', () => {
    expect(summarizeTrace([bar(0, 'compute', 0, 0, 1), bar(0, 'receive', 1, 2, 4)]).mean).toEqual(times(1, 2, 0, 1));
  });

  it('lets another pass hide a wait', () => {
    expect(summarizeTrace([bar(0, 'wait', 1, 0, 4), bar(0, 'compute', 0, 1, 4), bar(0, 'receive', 1, 0, 4)]).mean).toEqual(times(3, 4, 1, 0.75));
  });

  it('has an efficiency of 0, not less, when a peer is awaited for longer than its bytes take', () => {
    expect(summarizeTrace([bar(0, 'wait', 1, 0, 4), bar(0, 'receive', 1, 3, 4)]).mean).toEqual(times(0, 1, 4, 0));
  });

  it('is all zeros, with nothing to hide, for no events', () => {
    expect(summarizeTrace([])).toEqual({ startUs: 0, totalMs: 0, ranks: [], layers: [], mean: times(0, 0, 0, 1) });
  });

  it('takes a timeline of 300,000 events', () => {
    const many = Array.from({ length: 300_000 }, (_, index) => bar(index % 8, index % 3 === 0 ? 'compute' : 'receive', index % 94, index, index + 2));
    expect(summarizeTrace(many).totalMs).toBe(300_001);
  });
});

describe('intervals', () => {
  /** Some intervals between 0 and 30 with whole ends, so that sets of points can be counted one by one. */
  const some = fc.array(fc.tuple(fc.nat(30), fc.nat(8)).map(([from, length]) => [from, from + length] as const), { maxLength: 12 });
  const points = (intervals: readonly (readonly [number, number])[]): Set<number> =>
    new Set(intervals.flatMap(([from, to]) => Array.from({ length: to - from }, (_, index) => from + index)));

  it('join to the points that any of them holds, apart and in order', () => {
    fc.assert(fc.property(some, (intervals) => {
      const joined = union(intervals);
      expect(points(joined)).toEqual(new Set([...points(intervals)].sort((a, b) => a - b)));
      expect(lengthUs(joined)).toBe(points(intervals).size);
      for (const [index, [from]] of joined.slice(1).entries()) expect(from).toBeGreaterThan(joined[index]?.[1] ?? 0);
    }));
  });

  it('are cut by others to the points that only they hold', () => {
    fc.assert(fc.property(some, some, (a, b) => {
      const rest = difference(union(a), union(b));
      const without = points(b);
      expect(points(rest)).toEqual(new Set([...points(a)].filter((point) => !without.has(point))));
      expect(lengthUs(rest)).toBe(points(rest).size);
    }));
  });
});
