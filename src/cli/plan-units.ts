/** Rates and sums in units with prefixes. */
const PREFIXES: readonly (readonly [string, number])[] = [['', 1], ['k', 1e3], ['M', 1e6], ['G', 1e9], ['T', 1e12], ['P', 1e15]];

/** `4.5e11, 'B/s'` -> `450 GB/s`: four significant digits at most. */
export function prefixText(value: number, unit: string): string {
  const [prefix, scale] = PREFIXES.findLast(([, scale]) => value >= scale) ?? ['', 1];
  return `${Number((value / scale).toPrecision(4))} ${prefix}${unit}`;
}
