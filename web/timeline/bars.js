/** Bars of a lane: which are in sight, which is under a pointer, what colour they have. A lane's bars are sorted and do not overlap. */

/** Index of the first bar that ends after `time`. */
export function firstEndingAfter({ start, duration }, time) {
  let [low, high] = [0, start.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (start[middle] + duration[middle] > time) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Index of the bar at `time`, or of the nearest within `slack` microseconds; -1 when there is none. */
export function barAt(lane, time, slack) {
  let [best, distance] = [-1, slack];
  const next = firstEndingAfter(lane, time);
  for (const index of [next, next - 1]) {
    if (index < 0 || index >= lane.start.length) continue;
    const end = lane.start[index] + lane.duration[index];
    const away = Math.max(0, lane.start[index] - time, time - end);
    if (away < distance || (away === 0 && best === -1)) [best, distance] = [index, away];
  }
  return best;
}

/** Hue of a layer, the same in every rank and timeline; neighbours differ, and none is the red of exposed time. */
export const hueOf = (layer) => 40 + (layer * 0.618034 % 1) * 270;

/** Heights in pixels: a lane alone, few, many. */
const laneHeight = (lanes) => (lanes === 1 ? 18 : lanes <= 4 ? 13 : 6);
const GAP = 4;

/** Where the rows of a rank stand, from the top of its canvas. */
export function layOut(rows) {
  let top = 0;
  const placed = rows.map((row) => {
    const height = laneHeight(row.lanes.length);
    const one = { ...row, top, laneHeight: height, height: height * row.lanes.length + GAP };
    top += one.height;
    return one;
  });
  return { rows: placed, height: top };
}

/** The bar at a point of a rank's canvas: its row, lane and index. */
export function hitTest(rows, y, time, slack) {
  const row = rows.findIndex(({ top, height }) => y >= top && y < top + height);
  if (row === -1) return null;
  const lane = Math.floor((y - rows[row].top - GAP / 2) / rows[row].laneHeight);
  if (rows[row].lanes[lane] === undefined) return null;
  const index = barAt(rows[row].lanes[lane], time, slack);
  return index === -1 ? null : { row, lane, index };
}
