/** The last passes: how full each was against T, as a picture and as a table. */
import { element } from '../timeline/tables.js';
import { countText, fillText, shareText, timeText } from './numbers.js';

const IN_TABLE = 12;
const HEAD = ['rank', 'requests', 'tokens', 'cached', 'fill', 'time', 'exposed'];

const shareOf = (part, whole) => shareText(whole > 0 ? part / whole : null);

/** The picture ends at so many T at least. */
const LEAST_TOP = 1.5;

function showFill(holder, passes) {
  const top = Math.max(LEAST_TOP, ...passes.map(({ fill }) => fill));
  holder.style.setProperty('--mark', `${100 / top}%`);
  holder.replaceChildren(element('b', { class: 'line' }, element('span', {}, 'T')),
    ...passes.map(({ engine, fill }) => element('i', { class: fill >= 1 ? 'saturated' : '', style: `height: ${Math.max(fill / top * 100, 1)}%`, title: `rank ${engine}: ${fillText(fill)}` })));
  const below = passes.filter(({ fill }) => fill < 1).length;
  holder.setAttribute('aria-label', passes.length === 0 ? 'no passes yet' : `fill of the last ${passes.length} passes against T, the newest last; ${below} below T`);
}

/** Newest first. */
function showTable(table, passes) {
  const rows = passes.slice(-IN_TABLE).toReversed().map((pass) => element('tr', {}, element('th', { scope: 'row' }, `rank ${pass.engine}`),
    ...[countText(pass.requests), countText(pass.prompt_tokens), shareOf(pass.cached_tokens, pass.prompt_tokens), fillText(pass.fill), timeText(pass.wall_ms)].map((text) => element('td', {}, text)),
    element('td', { class: 'exposed' }, timeText(pass.exposed_ms))));
  table.replaceChildren(element('caption', { class: 'unseen' }, 'The last passes, the newest first'),
    element('thead', {}, element('tr', {}, ...HEAD.map((name) => element('th', { scope: 'col' }, name)))), element('tbody', {}, ...rows));
}

export function showPasses({ picture, table }, { passes }) {
  const state = passes.map(({ ended_ms: endedMs, engine }) => `${engine}:${endedMs}`).join();
  if (picture.dataset.shown === state) return;
  picture.dataset.shown = state;
  showFill(picture, passes);
  showTable(table, passes);
}
