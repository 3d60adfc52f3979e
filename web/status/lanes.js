/** The timeline of the last passes, drawn as the timeline page draws it: all of it at once, anew whenever there is more. */
import { hitTest, layOut } from '../timeline/bars.js';
import { drawAxis, drawRank, readColours } from '../timeline/draw.js';
import { formatMs, formatShare } from '../timeline/scale.js';
import { element, factsOf, fillLegend, showTooltip } from '../timeline/tables.js';

/** What a rank's picture shows, in words. */
const describeRank = ({ name, times, rows }) =>
  `${name}: ${rows.map(({ track }) => track).join(', ')}; compute ${formatMs(times.computeMs)}, exposed ${formatMs(times.exposedMs)}, overlap efficiency ${formatShare(times.overlapEfficiency)}`;

function newRank(rank) {
  const { rows, height } = layOut(rank.rows);
  const labels = element('div', { class: 'labels', 'aria-hidden': 'true' }, ...rows.map(({ track, height }) => element('div', { 'data-track': track, style: `height: ${height}px` }, track)));
  const canvas = element('canvas', { role: 'img', 'aria-label': describeRank(rank), style: `height: ${height}px` });
  const numbers = `compute ${formatMs(rank.times.computeMs)}, exposed `;
  const holder = element('div', {}, element('h3', {}, `${rank.name}: ${numbers}`, element('span', { class: 'exposed' }, formatMs(rank.times.exposedMs))),
    element('div', { class: 'lines', 'data-rank': String(rank.rank) }, labels, canvas));
  return { holder, canvas, rows, exposed: rank.exposed };
}

/** @returns what shows a timeline (`PageData` of src/trace/page.ts) */
export function createLanes({ holder, axis, legend, tooltip }) {
  let [ranks, strings, range] = [[], [], { from: 0, to: 1 }];
  let colours = readColours();
  let due = false;

  function redraw() {
    if (!due) requestAnimationFrame(draw);
    due = true;
  }
  function draw() {
    due = false;
    drawAxis(axis, range, colours);
    let painted = 0;
    for (const rank of ranks) painted += drawRank(rank.canvas, rank, { range, colours, strings, selected: null });
    holder.dataset.painted = String(painted);
  }
  function tellOf(rank, event) {
    const { left, top, width } = rank.canvas.getBoundingClientRect();
    const usPerPixel = (range.to - range.from) / width;
    const bar = hitTest(rank.rows, event.clientY - top, range.from + (event.clientX - left) * usPerPixel, 3 * usPerPixel);
    tooltip.hidden = bar === null;
    if (bar === null) return;
    const lane = rank.rows[bar.row].lanes[bar.lane];
    showTooltip(tooltip, strings[lane.name[bar.index]], factsOf(lane, bar.index, strings), { x: event.clientX, y: event.clientY });
  }

  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    colours = readColours();
    redraw();
  });
  const resized = new ResizeObserver(redraw);
  resized.observe(axis);

  return function show({ traces: [trace], strings: texts }) {
    tooltip.hidden = true;
    strings = texts;
    range = { from: 0, to: Math.max(trace.totalMs * 1000, 1) };
    ranks = trace.ranks.map(newRank);
    for (const rank of ranks) {
      for (const name of ['pointermove', 'pointerdown']) rank.canvas.addEventListener(name, (event) => tellOf(rank, event));
      rank.canvas.addEventListener('pointerleave', () => { tooltip.hidden = true; });
    }
    holder.replaceChildren(...(ranks.length === 0 ? [element('p', { class: 'hint' }, 'No pass yet.')] : ranks.map(({ holder }) => holder)));
    legend.replaceChildren();
    fillLegend(legend, [trace]);
    redraw();
  };
}
