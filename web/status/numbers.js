/** Numbers as text. What is not known yet (null) is a dash. */

const NOTHING = '–';
const PREFIXES = [['P', 1e15], ['T', 1e12], ['G', 1e9], ['M', 1e6], ['k', 1e3], ['', 1]];

/** Three digits: `1234000` -> `1.23 M`. */
function scaled(value) {
  const [prefix, scale] = PREFIXES.find(([, scale]) => Math.abs(value) >= scale) ?? ['', 1];
  return `${Number((value / scale).toPrecision(3))} ${prefix}`;
}

export const flopsText = (flops) => `${scaled(flops)}FLOP`;

/** `1234567` -> `1,234,567`. */
export const countText = (count) => Math.round(count).toLocaleString('en-US');

/** A rate: one digit behind the point below 100. */
export const rateText = (rate) => (rate < 100 ? String(Number(rate.toFixed(1))) : countText(rate));

export const shareText = (share) => (share === null ? NOTHING : `${(share * 100).toFixed(1)} %`);

/** `0.87` -> `0.87 T`. */
export const fillText = (fill) => (fill === null ? NOTHING : `${fill.toFixed(2)} T`);

/** Milliseconds, or seconds from ten of them on. */
export const timeText = (ms) => (ms >= 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Number(ms.toPrecision(3))} ms`);

/** The three percentiles in a line. */
export const percentilesText = (times) => (times === null ? NOTHING : `${timeText(times.p50)} / ${timeText(times.p95)} / ${timeText(times.p99)}`);

/** `93784000` -> `1 d 2 h 3 min`. */
export function durationText(ms) {
  const parts = [['d', 86_400], ['h', 3600], ['min', 60], ['s', 1]];
  let left = Math.max(0, Math.floor(ms / 1000));
  const told = [];
  for (const [unit, seconds] of parts) {
    const count = Math.floor(left / seconds);
    left -= count * seconds;
    if (count > 0 && told.length < 3) told.push(`${count} ${unit}`);
  }
  return told.join(' ') || '0 s';
}
