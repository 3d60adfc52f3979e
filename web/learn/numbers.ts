/** Numbers as the page writes them: three digits that count, and the unit. */

const digits = (value: number): string => (Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(3))));

/** `0.131 ms`, `9.4 ms`, `187 ms`, `1.51 s`. */
export const msText = (ms: number): string => (Math.abs(ms) >= 1000 ? `${digits(ms / 1000)} s` : `${digits(ms)} ms`);

function withPrefix(value: number, unit: string, prefixes: readonly (readonly [scale: number, prefix: string])[]): string {
  const [scale, prefix] = prefixes.find(([scale]) => Math.abs(value) >= scale) ?? [1, ''];
  return `${digits(value / scale)} ${prefix}${unit}`;
}

/** Decimal, as links are counted: `4.83 GB`. */
export const bytesText = (bytes: number): string => withPrefix(bytes, 'B', [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']]);

/** `3.56 TFLOP`. */
export const flopsText = (flops: number): string => withPrefix(flops, 'FLOP', [[1e18, 'E'], [1e15, 'P'], [1e12, 'T'], [1e9, 'G'], [1e6, 'M']]);

export const tokensText = (tokens: number): string => `${Math.ceil(tokens).toLocaleString('en-US')} ${Math.ceil(tokens) === 1 ? 'token' : 'tokens'}`;

export const shareText = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** `1.37x`. */
export const timesText = (factor: number): string => `${factor >= 10 ? factor.toFixed(0) : factor.toFixed(2)}×`;
