/** Numbers as people read them. */

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `134217728` -> `128 MiB`. */
export function formatBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), BYTE_UNITS.length - 1);
  const value = bytes / 1024 ** power;
  return `${Number(value.toPrecision(value < 10 ? 2 : 3))} ${BYTE_UNITS[power]}`;
}

/** `0.9731` -> `97.3 %`. */
export const formatPercent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** `12345.6` -> `12,346`. */
export const formatCount = (count: number): string => Math.round(count).toLocaleString('en-US');

/** `2.71e10` -> `27.1 GFLOP/s`. */
export function formatFlops(flopsPerSecond: number): string {
  const [unit, scale] = flopsPerSecond >= 1e12 ? ['TFLOP/s', 1e12] : ['GFLOP/s', 1e9];
  return `${(flopsPerSecond / scale).toFixed(1)} ${unit}`;
}

/** One line of at most `length` characters. */
export function oneLine(text: string, length: number): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length <= length ? line : `${line.slice(0, length - 3)}...`;
}
