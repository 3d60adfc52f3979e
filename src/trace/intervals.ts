/** Sets of points in time, as sorted intervals that neither touch nor overlap. */

/** From (inclusive) and to (exclusive), microseconds. */
export type Interval = readonly [fromUs: number, toUs: number];

/** The points in any of the intervals, which may come in any order and overlap; empty ones count for nothing. */
export function union(intervals: Iterable<Interval>): Interval[] {
  const joined: [number, number][] = [];
  for (const [from, to] of [...intervals].sort((a, b) => a[0] - b[0])) {
    if (to <= from) continue;
    const last = joined.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else joined.push([from, to]);
  }
  return joined;
}

/** The points of `of` that are not in `without`; both as {@link union} returns them. */
export function difference(of: readonly Interval[], without: readonly Interval[]): Interval[] {
  const rest: Interval[] = [];
  let next = 0;
  for (const [from, to] of of) {
    let start = from;
    while ((without[next]?.[1] ?? Infinity) <= start) next++;
    for (let i = next; start < to; i++) {
      const [cutFrom, cutTo] = without[i] ?? [to, to];
      if (cutFrom > start) rest.push([start, Math.min(cutFrom, to)]);
      start = Math.max(start, cutTo);
    }
  }
  return rest;
}

/** Length of a set, microseconds. */
export const lengthUs = (intervals: readonly Interval[]): number => intervals.reduce((sum, [from, to]) => sum + to - from, 0);
