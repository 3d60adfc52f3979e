/**
 * The threshold's chart: tokens of the batch to the right (each doubling as wide as the one before), time of one layer upwards. Pure.
 *
 * Upwards it shows a few times t_EP, whatever that is, so that the lines stay where they are while the batch is dragged.
 */
import { RANGES, positionOf, valueAt } from '../../settings.ts';
import type { Threshold } from '../../scenario.ts';

const TRANSFERS_HIGH = 2.4;
const PARTS = 96;

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface ChartSize {
  readonly width: number;
  readonly height: number;
}

export interface Chart extends ChartSize {
  /** Time at the top. */
  readonly topMs: number;
  x(tokens: number): number;
  y(ms: number): number;
  /** Compute of a layer of a batch. */
  computeMs(tokens: number): number;
}

const { least, most } = RANGES.tokens;

export function chartOf({ transferMs, computeMs }: Threshold, tokens: number, { width, height }: ChartSize): Chart {
  const topMs = TRANSFERS_HIGH * (transferMs > 0 ? transferMs : computeMs);
  return {
    width, height, topMs,
    x: (some) => (Math.log2(some / least) / Math.log2(most / least)) * width,
    y: (ms) => height * (1 - ms / topMs),
    computeMs: (some) => (computeMs * some) / tokens,
  };
}

/** The position of the tokens' slider at a pixel. */
export const tokensAt = ({ width }: ChartSize, x: number): number => valueAt(RANGES.tokens, positionOf(RANGES.tokens, least * (most / least) ** Math.min(1, Math.max(0, x / width))));

/** Points of the compute line from `fromTokens` to `toTokens`, as far as the chart reaches. */
export function computeLine(chart: Chart, fromTokens = least, toTokens = most): Point[] {
  const points: Point[] = [];
  for (let part = 0; part <= PARTS; part++) {
    const tokens = fromTokens * (toTokens / fromTokens) ** (part / PARTS);
    points.push({ x: chart.x(tokens), y: chart.y(chart.computeMs(tokens)) });
  }
  return points;
}

/** As a path of an SVG. */
export const pathOf = (points: readonly Point[]): string => points.map(({ x, y }, index) => `${index === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');

/** What is exposed: between t_EP and the compute line, left of where they meet; empty where they meet left of the chart. */
export function exposedArea(chart: Chart, { transferMs, hiddenTokens }: Threshold): string {
  const end = Math.min(most, hiddenTokens);
  if (transferMs === 0 || end <= least) return '';
  const top = chart.y(transferMs);
  return `${pathOf([{ x: 0, y: top }, ...computeLine(chart, least, end), { x: chart.x(end), y: top }])}Z`;
}
