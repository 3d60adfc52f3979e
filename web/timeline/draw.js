/** Drawing on canvases: only what is in sight, and one stroke for all bars that share a pixel. */
import { firstEndingAfter, hueOf } from './bars.js';
import { formatTick, ticksOf } from './scale.js';

/** The colours of the page's style, light or dark as the reader's system is. */
export function readColours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  const layers = new Map();
  const colours = {
    front: of('front'), faint: of('faint'), line: of('line'), plain: of('plain'), wait: of('wait'), focus: of('focus'),
    exposed: of('exposed'), band: of('exposed-band'), text: of('bar-text'),
    layer(layer) {
      if (!layers.has(layer)) layers.set(layer, layer === null ? colours.plain : `hsl(${hueOf(layer)} 62% ${of('bar-lightness')})`);
      return layers.get(layer);
    },
  };
  return colours;
}

/** Fits the canvas's pixels to its place on the page. @returns its context, in CSS pixels and empty, and its size */
function begin(canvas) {
  const [width, height, ratio] = [canvas.clientWidth, canvas.clientHeight, window.devicePixelRatio || 1];
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = '11px system-ui, sans-serif';
  context.textBaseline = 'middle';
  return { context, width, height, font: context.font };
}

const LEAST_PIXELS_A_TICK = 95;

export function drawAxis(canvas, range, colours) {
  const { context, width, height } = begin(canvas);
  const { step, ticks } = ticksOf(range, width / LEAST_PIXELS_A_TICK);
  for (const tick of ticks) {
    const x = (tick - range.from) / (range.to - range.from) * width;
    context.fillStyle = colours.line;
    context.fillRect(Math.round(x), 0, 1, height);
    context.fillStyle = colours.faint;
    const text = formatTick(tick, step);
    if (x + 4 + context.measureText(text).width <= width) context.fillText(text, x + 4, height / 2);
  }
}

/** Width from which a bar shows a gap to its neighbour, and from which it may carry text. */
const GAP_FROM = 3;
const TEXT_FROM = 14;

/** The bar's name if there is room, else its layer, else nothing. */
function drawName(context, text, short, x, width, y) {
  for (const one of [text, short]) {
    const room = width - 6;
    if (one === '' || context.measureText(one).width > room) continue;
    context.fillText(one, x + 3, y);
    return;
  }
}

/** @returns how many bars were painted */
function drawLane(context, lane, { top, height, range, width, colourOf, text, strings, named }) {
  const scale = width / (range.to - range.from);
  let painted = 0;
  let index = firstEndingAfter(lane, range.from);
  while (index < lane.start.length && lane.start[index] < range.to) {
    const left = (lane.start[index] - range.from) * scale;
    const right = left + lane.duration[index] * scale;
    context.fillStyle = colourOf(lane, index);
    context.fillRect(left, top, Math.max(right - left - (right - left > GAP_FROM ? 1 : 0), 1), height);
    painted++;
    const [from, to] = [Math.max(left, 0), Math.min(right, width)];
    if (named && to - from > TEXT_FROM) {
      context.fillStyle = text;
      drawName(context, strings[lane.name[index]], lane.layer[index] === null ? '' : String(lane.layer[index]), from, to - from, top + height / 2 + 0.5);
    }
    // The next bar that ends beyond this pixel: the ones between could not be seen.
    index = right - left >= 1 ? index + 1 : Math.max(index + 1, firstEndingAfter(lane, range.from + (left + 1) / scale));
  }
  return painted;
}

/** Exposed stretches as a band behind all rows of the rank, and solid over its waits. */
function drawExposed(context, exposed, { range, width, top, height, colour }) {
  const scale = width / (range.to - range.from);
  context.fillStyle = colour;
  for (let i = 0, lastX = -1; i < exposed.length; i += 2) {
    if (exposed[i + 1] <= range.from || exposed[i] >= range.to) continue;
    const x = (exposed[i] - range.from) * scale;
    const right = Math.max((exposed[i + 1] - range.from) * scale, x + 1);
    if (right <= lastX) continue; // within a pixel that is red already
    const left = Math.max(x, lastX);
    context.fillRect(left, top, right - left, height);
    lastX = right;
  }
}

function drawSelection(context, { rows, selected, range, width, colour }) {
  const row = rows[selected.row];
  const lane = row.lanes[selected.lane];
  const scale = width / (range.to - range.from);
  const x = (lane.start[selected.index] - range.from) * scale;
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.strokeRect(x - 1, row.top + 1 + selected.lane * row.laneHeight, Math.max(lane.duration[selected.index] * scale, 2) + 1, row.laneHeight + 1);
}

/** One rank's rows. @returns how many bars were painted */
export function drawRank(canvas, { rows, exposed }, { range, colours, strings, selected }) {
  const { context, width, height } = begin(canvas);
  drawExposed(context, exposed, { range, width, top: 0, height, colour: colours.band });
  let painted = 0;
  for (const row of rows) {
    context.fillStyle = colours.line;
    context.fillRect(0, row.top + row.height - 1, width, 1);
    const isWait = row.track === 'wait';
    const colourOf = isWait ? () => colours.wait : (lane, index) => colours.layer(lane.layer[index]);
    for (const [index, lane] of row.lanes.entries()) {
      const place = { top: row.top + 2 + index * row.laneHeight, height: row.laneHeight - 1 };
      painted += drawLane(context, lane, { ...place, range, width, colourOf, text: colours.text, strings, named: !isWait && row.laneHeight > 9 });
    }
    if (isWait) drawExposed(context, exposed, { range, width, top: row.top + 2, height: row.height - 5, colour: colours.exposed });
  }
  if (selected !== null) drawSelection(context, { rows, selected, range, width, colour: colours.focus });
  return painted;
}
