/** The parts of the page that are text: summary, numbers of every rank, legend, tooltip. Names go in as text, never as HTML. */
import { hueOf } from './bars.js';
import { formatBytes, formatMs, formatShare, formatUs } from './scale.js';

/** An element with attributes and children (elements or text). */
export function element(tag, attributes = {}, ...children) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  one.append(...children);
  return one;
}

const TIMES_HEAD = ['compute', 'transfer', 'exposed', 'overlap efficiency'];

const timesCells = ({ computeMs, transferMs, exposedMs, overlapEfficiency }) => [
  element('td', { 'data-key': 'compute' }, formatMs(computeMs)),
  element('td', { 'data-key': 'transfer' }, formatMs(transferMs)),
  element('td', { 'data-key': 'exposed', class: 'exposed' }, formatMs(exposedMs)),
  element('td', { 'data-key': 'efficiency' }, formatShare(overlapEfficiency)),
];

const headRow = (names) => element('thead', {}, element('tr', {}, ...names.map((name) => element('th', { scope: 'col' }, name))));

/** A line for each timeline. */
export function fillSummary(table, traces) {
  const lines = traces.map(({ label, ranks, totalMs, mean }) => element('tr', {},
    element('th', { scope: 'row' }, label), element('td', { 'data-key': 'ranks' }, String(ranks.length)),
    element('td', { 'data-key': 'total' }, formatMs(totalMs)), ...timesCells(mean)));
  table.append(headRow(['timeline', 'ranks', 'total', ...TIMES_HEAD]), element('tbody', {}, ...lines));
}

const barsOn = ({ lanes }) => lanes.reduce((sum, { start }) => sum + start.length, 0);

/** A line for each rank of each timeline, with the number of bars on each of its tracks. */
export function fillRanks(table, traces) {
  const lines = traces.flatMap(({ label, ranks }) => ranks.map(({ name, times, rows }) => element('tr', {},
    element('th', { scope: 'row' }, `${label}, ${name}`), ...timesCells(times),
    element('td', { 'data-key': 'bars' }, rows.map((row) => `${barsOn(row)} ${row.track}`).join(', ')))));
  table.append(headRow(['rank', ...TIMES_HEAD, 'bars']), element('tbody', {}, ...lines));
}

/** What colours mean: red, grey, and each layer. */
export function fillLegend(legend, traces) {
  const entry = (colour, text) => element('span', {}, element('i', { style: `background: ${colour}` }), text);
  const layers = [...new Set(traces.flatMap(({ layers }) => layers))].sort((a, b) => a - b);
  legend.append(
    entry('var(--exposed)', 'exposed'), entry('var(--wait)', 'wait hidden behind compute'), entry('var(--plain)', 'not of a layer'),
    ...layers.map((layer) => entry(`hsl(${hueOf(layer)} 62% var(--bar-lightness))`, `layer ${layer}`)),
  );
}

/** What is told of a bar, as pairs of word and value. */
export function factsOf(lane, index, strings) {
  const has = (value) => value !== null && value !== undefined;
  return [
    ['start', formatUs(lane.start[index])],
    ['duration', formatUs(lane.duration[index])],
    ...(has(lane.pass[index]) ? [['pass', String(lane.pass[index])]] : []),
    ...(has(lane.layer[index]) ? [['layer', String(lane.layer[index])]] : []),
    ...(has(lane.bytes[index]) ? [['bytes', formatBytes(lane.bytes[index])]] : []),
    ...(has(lane.more[index]) ? [['more', strings[lane.more[index]]]] : []),
  ];
}

/** Shows the tooltip beside a point of the window, inside it. */
export function showTooltip(tooltip, name, facts, { x, y }) {
  tooltip.replaceChildren(element('strong', {}, name), element('dl', {}, ...facts.flatMap(([word, value]) => [element('dt', {}, word), element('dd', {}, value)])));
  tooltip.hidden = false;
  const { width, height } = tooltip.getBoundingClientRect();
  const beside = (at, size, room) => Math.max(4, at + 14 + size > room ? at - 14 - size : at + 14);
  tooltip.style.left = `${beside(x, width, document.documentElement.clientWidth)}px`;
  tooltip.style.top = `${beside(y, height, window.innerHeight)}px`;
}
