/** Time and pixels: the stretch of time that is shown, ticks, and numbers as text. Times are microseconds since a timeline's start. */

/** The shortest stretch that is shown. */
const LEAST_SPAN_US = 1;

/** A stretch of the wanted length around its middle, moved and shortened to lie between 0 and `totalUs`. */
export function clampRange({ from, to }, totalUs) {
  const span = Math.min(Math.max(to - from, LEAST_SPAN_US), totalUs);
  const start = Math.min(Math.max((from + to - span) / 2, 0), totalUs - span);
  return { from: start, to: start + span };
}

/** A factor above 1 shows less; `anchor` (a time) stays where it is. */
export function zoomRange({ from, to }, factor, anchor, totalUs) {
  const span = Math.min(Math.max((to - from) / factor, LEAST_SPAN_US), totalUs);
  const left = anchor - (anchor - from) / (to - from) * span;
  return clampRange({ from: left, to: left + span }, totalUs);
}

export const panRange = ({ from, to }, byUs, totalUs) => clampRange({ from: from + byUs, to: to + byUs }, totalUs);

/** Times at 1, 2 or 5 times a power of ten, at most `most` of them. */
export function ticksOf({ from, to }, most) {
  const least = (to - from) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((times) => times * power).find((one) => one >= least) ?? 10 * power;
  const ticks = [];
  for (let index = Math.ceil(from / step); index * step <= to; index++) ticks.push(index * step);
  return { step, ticks };
}

const UNITS = [['s', 1e6], ['ms', 1e3], ['µs', 1]];

/** To the nanosecond, or the microsecond where seconds are shown: `1234.5` -> `1.2345 ms`, `3000` -> `3 ms`. */
export function formatUs(us) {
  const [unit, scale] = UNITS.find(([, scale]) => Math.abs(us) >= scale) ?? UNITS[2];
  return `${Number((us / scale).toFixed(scale === 1 ? 3 : 6))} ${unit}`;
}

/** A time with as many digits as tell it from another that is `step` away. */
export function formatTick(us, step) {
  const [unit, scale] = UNITS.find(([, scale]) => step >= scale / 100) ?? UNITS[2];
  const digits = Math.max(0, Math.ceil(-Math.log10(step / scale) - 1e-9));
  return `${(us / scale).toFixed(digits)} ${unit}`;
}

export const formatMs = (ms) => `${ms.toFixed(ms < 100 ? 2 : 1)} ms`;

export const formatShare = (share) => `${(share * 100).toFixed(1)} %`;

/** `1536` -> `1,536 (1.5 KiB)`. */
export function formatBytes(bytes) {
  const power = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), 4);
  const exact = bytes.toLocaleString('en-US');
  return power === 0 ? exact : `${exact} (${(bytes / 1024 ** power).toFixed(1)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]})`;
}
