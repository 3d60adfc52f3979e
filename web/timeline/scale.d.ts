interface TimeRange {
  readonly from: number;
  readonly to: number;
}

/** Times at 1, 2 or 5 times a power of ten, at most `most` of them. Times are microseconds. */
export function ticksOf(range: TimeRange, most: number): { readonly step: number; readonly ticks: readonly number[] };

/** A time with as many digits as tell it from another that is `step` away. */
export function formatTick(us: number, step: number): string;
