/** The ranks on the page, the stretch of time that they all show, and the bar that is selected. */
import { layOut } from './bars.js';
import { drawAxis, drawRank, readColours } from './draw.js';
import { clampRange, formatTick, panRange, zoomRange } from './scale.js';
import { element } from './tables.js';

/** Heading, row labels and canvas of a rank. */
function addRank(section, trace, rank) {
  const { rows, height } = layOut(rank.rows);
  const labels = element('div', { class: 'labels', 'aria-hidden': 'true' },
    ...rows.map(({ track, height }) => element('div', { 'data-track': track, style: `height: ${height}px` }, track)));
  const canvas = element('canvas', {
    tabindex: '0', role: 'application', 'aria-roledescription': 'timeline', style: `height: ${height}px`,
    'aria-label': `${trace.label}, ${rank.name}: ${rows.map(({ track }) => track).join(', ')}`,
  });
  section.append(element('h3', {}, rank.name), element('div', { class: 'lines', 'data-rank': String(rank.rank) }, labels, canvas));
  return { canvas, rows, exposed: rank.exposed };
}

function addTrace(holder, trace, index) {
  const section = element('section', { 'aria-labelledby': `trace-${index}`, 'data-trace': String(index) }, element('h2', { id: `trace-${index}` }, trace.label));
  holder.append(section);
  return trace.ranks.map((rank) => addRank(section, trace, rank));
}

/** With a margin, so that scrolling does not run into what is not drawn yet. */
const isNear = (canvas) => {
  const { top, bottom } = canvas.getBoundingClientRect();
  return bottom > -window.innerHeight && top < 2 * window.innerHeight;
};

/** @returns the ranks and the ways to change what is shown; every change draws anew, once a frame */
export function createView({ traces, strings }, { holder, axis, range: output }) {
  const totalUs = Math.max(...traces.map(({ totalMs }) => totalMs * 1000), 1);
  const ranks = traces.flatMap((trace, index) => addTrace(holder, trace, index));
  let range = { from: 0, to: totalUs };
  let selection = null; // { rank, row, lane, index }
  let colours = readColours();
  let due = false;

  function draw(all) {
    due = false;
    drawAxis(axis, range, colours);
    let painted = 0;
    for (const [index, rank] of ranks.entries()) {
      if (all || isNear(rank.canvas)) painted += drawRank(rank.canvas, rank, { range, colours, strings, selected: selection?.rank === index ? selection : null });
    }
    const step = (range.to - range.from) / 100;
    output.textContent = `${formatTick(range.from, step)} to ${formatTick(range.to, step)}`;
    Object.assign(output.dataset, { fromUs: range.from, toUs: range.to, painted });
  }
  function redraw() {
    if (!due) requestAnimationFrame(() => draw(false));
    due = true;
  }
  function show(next) {
    range = next;
    redraw();
  }

  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    colours = readColours();
    redraw();
  });
  const resized = new ResizeObserver(redraw);
  for (const canvas of [axis, ...ranks.map(({ canvas }) => canvas)]) resized.observe(canvas);
  document.addEventListener('scroll', redraw, { passive: true });
  window.addEventListener('beforeprint', () => draw(true));

  return {
    ranks, strings,
    get range() { return range; },
    get selection() { return selection; },
    fit: () => show({ from: 0, to: totalUs }),
    /** @param anchor the time that stays in its place; the middle when not given */
    zoom: (factor, anchor = (range.from + range.to) / 2) => show(zoomRange(range, factor, anchor, totalUs)),
    /** @param share of the shown stretch; above 0 is later */
    pan: (share) => show(panRange(range, share * (range.to - range.from), totalUs)),
    /** Marks a bar and brings it into sight. */
    select(next) {
      selection = next;
      if (next === null) return redraw();
      const lane = ranks[next.rank].rows[next.row].lanes[next.lane];
      const middle = lane.start[next.index] + lane.duration[next.index] / 2;
      const half = (range.to - range.from) / 2;
      show(middle >= range.from && middle <= range.to ? range : clampRange({ from: middle - half, to: middle + half }, totalUs));
    },
    /** Time at a pixel of a rank's canvas, and the time that a pixel stands for. */
    timeAt(canvas, x) {
      const usPerPixel = (range.to - range.from) / canvas.clientWidth;
      return { time: range.from + x * usPerPixel, usPerPixel };
    },
  };
}
