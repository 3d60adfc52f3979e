/** Puts the page together from the data inside it (`PageData` of src/trace/page.ts). */
import { watchButtons, watchKeys } from './keyboard.js';
import { watchPointer } from './pointer.js';
import { factsOf, fillLegend, fillRanks, fillSummary, showTooltip } from './tables.js';
import { createView } from './view.js';

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId('data').textContent);

fillSummary(byId('summary'), data.traces);
fillRanks(byId('ranks'), data.traces);
fillLegend(byId('legend'), data.traces);

const view = createView(data, { holder: byId('traces'), axis: byId('axis'), range: byId('range') });
const tooltip = byId('tooltip');

/** What is told of a bar of a rank. */
function describe(rank, { row, lane, index }) {
  const bars = rank.rows[row].lanes[lane];
  return { name: data.strings[bars.name[index]], facts: factsOf(bars, index, data.strings) };
}

for (const rank of view.ranks) {
  watchPointer(view, rank, (bar, at) => {
    tooltip.hidden = bar === null;
    if (bar === null) return;
    const { name, facts } = describe(rank, bar);
    showTooltip(tooltip, name, facts, at);
  });
}

/** Where a selected bar's tooltip goes: at the bar's place in its canvas. */
function placeOf({ rank, row, lane, index }) {
  const { canvas, rows } = view.ranks[rank];
  const { left, top } = canvas.getBoundingClientRect();
  const { time, usPerPixel } = view.timeAt(canvas, 0);
  const x = (rows[row].lanes[lane].start[index] - time) / usPerPixel;
  return { x: left + Math.min(Math.max(x, 0), canvas.clientWidth), y: top + rows[row].top + lane * rows[row].laneHeight };
}

watchKeys(view, (selection) => {
  view.select(selection);
  tooltip.hidden = selection === null;
  if (selection === null) return;
  const rank = view.ranks[selection.rank];
  const { name, facts } = describe(rank, selection);
  showTooltip(tooltip, name, facts, placeOf(selection));
  byId('announcer').textContent = `${rank.rows[selection.row].track}: ${name}, ${facts.map((fact) => fact.join(' ')).join(', ')}`;
});

watchButtons(view, document.querySelectorAll('[data-do]'));
