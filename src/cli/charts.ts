/** Charts as SVG text, without a DOM: lines over two axes, and horizontal bars of several parts. Series are told apart by colour and by dashes. */
import { scaleLinear, scaleLog } from 'd3-scale';
import { escapeHtml } from './html-page.ts';

/** Colours that are told apart with any kind of colour vision (Okabe and Ito), and on a dark page; the order is that of the series. */
export const CHART_STYLE = `
:root { --s0: #0072b2; --s1: #56b4e9; --s2: #6b7280; --s3: #d55e00; --s4: #b8860b; --s5: #009e73; --s6: #cc79a7; --s7: #7c3aed; --grid: #e5e7eb; }
@media (prefers-color-scheme: dark) { :root { --s0: #4aa8ff; --s1: #9bd5ff; --s2: #a3abb8; --s3: #ff8a4c; --s4: #e6c04a; --s5: #3ed9a8; --s6: #f0a3cd; --s7: #b79bff; --grid: #2b3037; } }
.line { fill: none; stroke-width: 2; } .grid { stroke: var(--grid); } .limit { stroke: var(--mark); stroke-width: 2; stroke-dasharray: 6 4; } .dot { stroke: var(--page); stroke-width: 1.5; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .3rem 0; padding: 0; list-style: none; font-size: .9rem; } .key svg { width: 2rem; height: .8rem; vertical-align: middle; }
figure > svg text.soft { fill: var(--soft); }
`;

const DASHES: readonly string[] = ['', '7 3', '2 3', '', '7 3', '2 3', '9 3 2 3', '4 2'];
const SERIES_COLOURS = 8;
const colour = (series: number): string => `var(--s${series % SERIES_COLOURS})`;
const dash = (series: number): string => (DASHES[series % DASHES.length] === '' ? '' : ` stroke-dasharray="${DASHES[series % DASHES.length]}"`);
const at = (value: number): string => value.toFixed(1);

export interface Named {
  readonly id: string;
  readonly title: string;
  /** What the picture shows, for who cannot see it. */
  readonly description: string;
}

export interface Series {
  readonly name: string;
  /** Which colour and dashes: equal numbers look equal in all charts of a page. */
  readonly look: number;
}

const opening = ({ id, title, description }: Named, width: number, height: number): string =>
  `<svg viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${id}-title ${id}-text"><title id="${id}-title">${escapeHtml(title)}</title><desc id="${id}-text">${escapeHtml(description)}</desc>`;

/** What the lines, or the parts of bars, are. */
export function chartKey(series: readonly Series[], kind: 'lines' | 'parts'): string {
  const items = series.map(({ name, look }) => {
    const swatch = kind === 'lines' ? `<line x1="0" x2="32" y1="6" y2="6" stroke="${colour(look)}" stroke-width="3"${dash(look)}/>` : `<rect width="32" height="12" fill="${colour(look)}"/>`;
    return `<li><svg viewBox="0 0 32 12" aria-hidden="true">${swatch}</svg> ${escapeHtml(name)}</li>`;
  });
  return `<ul class="key">${items.join('')}</ul>`;
}

export interface LineChart extends Named {
  readonly x: { readonly label: string; readonly values: readonly number[]; readonly text: (value: number) => string };
  readonly y: { readonly label: string; readonly logarithmic: boolean; readonly text: (value: number) => string };
  /** One value for each x. */
  readonly lines: readonly (Series & { readonly values: readonly number[] })[];
  /** Horizontal lines with a name. */
  readonly limits?: readonly { readonly name: string; readonly y: number }[];
  readonly dots?: readonly { readonly look: number; readonly x: number; readonly y: number; readonly name: string }[];
}

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [760, 340, 78, 24, 14, 48];

/** Powers of ten and no values between, where the scale spans enough of them. */
const DECADES = 2;

function verticalTicks(values: readonly number[], logarithmic: boolean): { readonly scale: (value: number) => number; readonly ticks: readonly number[] } {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (!logarithmic) {
    const scale = scaleLinear([0, most], [HEIGHT - BOTTOM, TOP]).nice(6);
    return { scale, ticks: scale.ticks(6) };
  }
  const scale = scaleLog([least, most], [HEIGHT - BOTTOM, TOP]);
  const all = scale.ticks(8);
  const decades = all.filter((tick) => Math.abs(Math.log10(tick) - Math.round(Math.log10(tick))) < 1e-9);
  return { scale, ticks: decades.length >= DECADES ? decades : all };
}

/** The x axis is logarithmic, its ticks are the values. */
export function lineChart(chart: LineChart): string {
  const { x, y, lines, limits = [], dots = [] } = chart;
  const across = scaleLog([x.values[0] as number, x.values.at(-1) as number], [LEFT, WIDTH - RIGHT]);
  const { scale: up, ticks } = verticalTicks([...lines.flatMap(({ values }) => values), ...limits.map((limit) => limit.y)], y.logarithmic);
  const bottom = HEIGHT - BOTTOM;
  return [
    opening(chart, WIDTH, HEIGHT),
    ...ticks.map((tick) => `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at(up(tick))}" y2="${at(up(tick))}"/><text class="soft" x="${LEFT - 8}" y="${at(up(tick) + 4)}" text-anchor="end">${escapeHtml(y.text(tick))}</text>`),
    ...x.values.map((value) => `<line class="grid" x1="${at(across(value))}" x2="${at(across(value))}" y1="${TOP}" y2="${bottom}"/><text class="soft" x="${at(across(value))}" y="${bottom + 18}" text-anchor="middle">${escapeHtml(x.text(value))}</text>`),
    `<text class="soft" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escapeHtml(x.label)}</text>`,
    `<text class="soft" transform="translate(14 ${(TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeHtml(y.label)}</text>`,
    ...lines.map(({ look, values }) => `<path class="line" stroke="${colour(look)}"${dash(look)} d="${values.map((value, i) => `${i === 0 ? 'M' : 'L'}${at(across(x.values[i] as number))} ${at(up(value))}`).join('')}"/>`),
    ...limits.map((limit) => `<line class="limit" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at(up(limit.y))}" y2="${at(up(limit.y))}"/><text x="${LEFT + 6}" y="${at(up(limit.y) - 5)}">${escapeHtml(limit.name)}</text>`),
    ...dots.map((dot) => `<circle class="dot" cx="${at(across(dot.x))}" cy="${at(up(dot.y))}" r="5" fill="${colour(dot.look)}"><title>${escapeHtml(dot.name)}</title></circle>`),
    '</svg>',
  ].join('\n');
}

export interface Bar {
  readonly name: string;
  /** From left to right; nothing to show: why. */
  readonly parts: readonly { readonly look: number; readonly value: number }[] | string;
  /** Beside the bar. */
  readonly label: string;
}

export interface BarChart extends Named {
  readonly bars: readonly Bar[];
  /** A vertical line with a name. */
  readonly limit?: { readonly name: string; readonly value: number };
  /** Longer bars are cut here, so that the others can be read. */
  readonly most?: number;
}

const [NAMES, LENGTH, LABELS, ROW, THICK, LIMIT_TEXT] = [90, 460, 230, 30, 18, 22];

function barParts({ parts, name, label }: Bar, y: number, scale: (value: number) => number): string {
  const words = `<text x="${NAMES - 8}" y="${y + 18}" text-anchor="end">${escapeHtml(name)}</text>`;
  if (typeof parts === 'string') return `${words}<text class="soft" x="${NAMES}" y="${y + 18}">${escapeHtml(parts)}</text>`;
  let sum = 0;
  const rects = parts.map(({ look, value }) => {
    const [from, to] = [scale(sum), scale(sum += value)];
    return to - from < 0.05 ? '' : `<rect x="${at(NAMES + from)}" y="${y + 4}" width="${at(to - from)}" height="${THICK}" fill="${colour(look)}"/>`;
  });
  return `${words}${rects.join('')}<text x="${at(NAMES + scale(sum) + 8)}" y="${y + 18}">${escapeHtml(label)}</text>`;
}

/** Horizontal bars of parts. */
export function barsOfParts(chart: BarChart): string {
  const { bars, limit } = chart;
  const sums = bars.flatMap(({ parts }) => (typeof parts === 'string' ? [] : [parts.reduce((sum, { value }) => sum + value, 0)]));
  const most = Math.min(chart.most ?? Infinity, Math.max(...sums, limit?.value ?? 0));
  const scale = scaleLinear([0, most > 0 ? most : 1], [0, LENGTH]).clamp(true);
  const height = bars.length * ROW + (limit === undefined ? 0 : LIMIT_TEXT);
  const line = limit === undefined ? [] : [
    `<line class="limit" x1="${at(NAMES + scale(limit.value))}" x2="${at(NAMES + scale(limit.value))}" y1="0" y2="${bars.length * ROW}"/>`,
    `<text x="${at(NAMES + scale(limit.value))}" y="${height - 5}" text-anchor="middle">${escapeHtml(limit.name)}</text>`,
  ];
  return [opening(chart, NAMES + LENGTH + LABELS, height), ...bars.map((bar, i) => barParts(bar, i * ROW, scale)), ...line, '</svg>'].join('\n');
}
