/** Draws a rank's rows on a canvas: only what is in the view. */
import type { Track } from '../../../src/trace/events.ts';
import { ticksOf } from '../../timeline/scale.js';
import { msText } from '../numbers.ts';
import type { Colours } from './colours.ts';
import type { Bar, DrawnRank, PassStretch, Row, View } from './timeline.ts';

/** Pixels of a lane, for few lanes and for many. */
const HEIGHTS: Readonly<Record<Track, readonly [few: number, many: number]>> = { compute: [30, 12], send: [15, 7], receive: [20, 9], slot: [15, 7], wait: [9, 6] };
const MANY_LANES = 3;
const GAP = 5;

export interface PlacedRow extends Row {
  readonly top: number;
  readonly laneHeight: number;
  readonly height: number;
}

/** Where the rows of a rank stand. */
export function layOut(rows: readonly Row[]): { readonly rows: readonly PlacedRow[]; readonly height: number } {
  let top = 0;
  const placed = rows.map((row) => {
    const laneHeight = HEIGHTS[row.track][row.lanes.length >= MANY_LANES ? 1 : 0];
    const one = { ...row, top, laneHeight, height: laneHeight * row.lanes.length };
    top += one.height + GAP;
    return one;
  });
  return { rows: placed, height: Math.max(top, 1) };
}

interface Surface {
  readonly context: CanvasRenderingContext2D;
  readonly width: number;
  readonly height: number;
  /** Pixel of a moment. */
  readonly x: (ms: number) => number;
}

/** Fits the canvas's pixels to its place on the page, and empties it. */
export function surfaceOf(canvas: HTMLCanvasElement, { fromMs, toMs }: View): Surface {
  const [width, height, ratio] = [canvas.clientWidth, canvas.clientHeight, window.devicePixelRatio || 1];
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const context = canvas.getContext('2d') as CanvasRenderingContext2D;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = '12px system-ui, sans-serif';
  context.textBaseline = 'middle';
  return { context, width, height, x: (ms) => ((ms - fromMs) / (toMs - fromMs)) * width };
}

const PIXELS_A_TICK = 80;
/** Of an axis: the upper line names the passes. */
const LINE = 18;

/** Ticks, and above them the passes as far as they have room. */
export function paintAxis(canvas: HTMLCanvasElement, view: View, passes: readonly PassStretch[], colours: Colours): void {
  const surface = surfaceOf(canvas, view);
  const { context, width, height, x } = surface;
  for (const { pass, fromMs, toMs } of passes) {
    const [left, right] = [Math.max(x(fromMs), 0), Math.min(x(toMs), width)];
    if (right - left < 12) continue;
    context.fillStyle = colours.raised;
    context.fillRect(left, 0, right - left - 2, LINE - 2);
    context.fillStyle = colours.faint;
    label(surface, [`pass ${pass}`, String(pass)], left, right, LINE / 2);
  }
  const { ticks } = ticksOf({ from: 0, to: (view.toMs - view.fromMs) * 1000 }, width / PIXELS_A_TICK);
  for (const tick of ticks) {
    const at = x(view.fromMs + tick / 1000);
    context.fillStyle = colours.line;
    context.fillRect(Math.round(at), LINE + 2, 1, height);
    context.fillStyle = colours.faint;
    const text = msText(tick / 1000);
    if (at + 4 + context.measureText(text).width <= width) context.fillText(text, at + 4, (LINE + height) / 2 + 2);
  }
}

/** The longest of some texts that has room, or none. */
function label({ context }: Surface, texts: readonly string[], from: number, to: number, y: number): void {
  const text = texts.find((one) => context.measureText(one).width <= to - from - 6);
  if (text !== undefined) context.fillText(text, from + (to - from - context.measureText(text).width) / 2, y);
}

function paintBar(surface: Surface, { track, laneHeight }: PlacedRow, bar: Bar, top: number, colours: Colours): void {
  const { context, width, x } = surface;
  const [left, right] = [x(bar.fromMs), x(bar.toMs)];
  const wide = right - left > 4;
  context.fillStyle = track === 'wait' ? colours.wait : colours.layer(bar.layer);
  context.globalAlpha = track === 'compute' || track === 'wait' ? 1 : 0.55;
  context.beginPath();
  context.roundRect(left, top, Math.max(right - left - (wide ? 1 : 0), 1), laneHeight - 1, wide ? 3 : 0);
  context.fill();
  context.globalAlpha = 1;
  if (track === 'wait' || laneHeight < 14) return;
  context.fillStyle = track === 'compute' ? colours.text : colours.front;
  label(surface, [bar.name, bar.layer === null ? '' : String(bar.layer)], Math.max(left, 0), Math.min(right, width), top + laneHeight / 2);
}

/** @param fill for its colour; a stretch narrower than a pixel is a pixel wide */
function paintStretches({ context, x }: Surface, stretches: readonly (readonly [number, number])[], { fromMs, toMs }: View, top: number, height: number): void {
  for (const [from, to] of stretches) {
    if (to > fromMs && from < toMs) context.fillRect(x(from), top, Math.max(x(to) - x(from), 1), height);
  }
}

/** How long the device stood still, in the gap of its compute. */
function labelExposed(surface: Surface, { rank, view, row, colours }: { rank: DrawnRank; view: View; row: PlacedRow; colours: Colours }): void {
  surface.context.fillStyle = colours.exposed;
  for (const [from, to] of rank.exposed) {
    if (to <= view.fromMs || from >= view.toMs) continue;
    const time = msText(to - from);
    label(surface, [`waits ${time}`, time, to - from < 100 ? (to - from).toPrecision(2) : ''], surface.x(from), surface.x(to), row.top + row.laneHeight / 2);
  }
}

export function paintRank(canvas: HTMLCanvasElement, rank: DrawnRank, placed: readonly PlacedRow[], view: View, colours: Colours): void {
  const surface = surfaceOf(canvas, view);
  surface.context.fillStyle = colours.band;
  paintStretches(surface, rank.exposed, view, 0, surface.height);
  for (const row of placed) {
    for (const [index, lane] of row.lanes.entries()) {
      let paintedTo = -Infinity;
      for (const bar of lane) {
        if (bar.toMs <= view.fromMs || bar.fromMs >= view.toMs || surface.x(bar.toMs) < paintedTo) continue; // within a pixel that has its bar
        paintBar(surface, row, bar, row.top + index * row.laneHeight, colours);
        paintedTo = Math.max(surface.x(bar.toMs), surface.x(bar.fromMs) + 1);
      }
    }
    if (row.track === 'compute') labelExposed(surface, { rank, view, row, colours });
    if (row.track !== 'wait') continue;
    surface.context.fillStyle = colours.exposed;
    paintStretches(surface, rank.exposed, view, row.top, row.height - 1);
  }
}
