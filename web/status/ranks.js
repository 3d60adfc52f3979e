/** A card for each rank: how it does, and the load of the batch that it is being given, against T. */
import { element } from '../timeline/tables.js';
import { countText, flopsText, shareText } from './numbers.js';
import { setText } from './overview.js';

/** The load bar ends at so many T, or at the load where that is more. */
const LEAST_SCALE = 1.5;

const FACTS = ['pid', 'restarts', 'batches under way', 'passes', 'below T', 'hit rate', 'exposed', 'MFU', 'cache'];

function factsOfRank({ pid, restarts, load, passes, below_threshold: below, prompt_tokens: tokens, cached_tokens: cached, exposed_ms: exposedMs, busy_ms: busyMs, mfu, cache_blocks: blocks }) {
  const share = (part, whole) => shareText(whole > 0 ? part / whole : null);
  return [
    String(pid), String(restarts), String(load.under_way), countText(passes), countText(below), share(cached, tokens), share(exposedMs, busyMs), shareText(mfu),
    `${countText(load.committed_blocks)} of ${countText(blocks)} blocks`,
  ];
}

function newCard(rank) {
  const facts = element('dl', {}, ...FACTS.flatMap((name) => [element('dt', {}, name), element('dd', { 'data-fact': name })]));
  return element('li', { 'data-rank-card': String(rank) },
    element('h3', {}, element('span', { 'data-part': 'name' }), element('strong', { 'data-part': 'state' })),
    element('div', { class: 'load', role: 'meter', 'aria-label': `load of rank ${rank}`, 'aria-valuemin': '0' },
      element('i', { class: 'filled' }), element('b', { class: 'mark' }, element('span', {}, 'T'))),
    element('p', { class: 'load-text' }), facts);
}

/** Width of the bar and place of the mark, as shares of the whole. */
export function loadShares(fillingFlops, thresholdFlops) {
  if (thresholdFlops === 0) return { filled: fillingFlops > 0 ? 1 : 0, mark: null };
  const scale = Math.max(LEAST_SCALE, fillingFlops / thresholdFlops);
  return { filled: fillingFlops / thresholdFlops / scale, mark: 1 / scale };
}

function showLoad(card, { load }, thresholdFlops) {
  const { filled, mark } = loadShares(load.filling_flops, thresholdFlops);
  const [meter, marked] = [card.querySelector('.load'), card.querySelector('.mark')];
  card.querySelector('.filled').style.width = `${filled * 100}%`;
  card.querySelector('.filled').classList.toggle('saturated', load.filling_flops >= thresholdFlops);
  marked.hidden = mark === null;
  if (mark !== null) marked.style.left = `${mark * 100}%`;
  const text = `${flopsText(load.filling_flops)} in ${countText(load.filling_requests)} ${load.filling_requests === 1 ? 'request' : 'requests'}${thresholdFlops === 0 ? '' : `, ${(load.filling_flops / thresholdFlops).toFixed(2)} T`}`;
  setText(card.querySelector('.load-text'), text);
  meter.setAttribute('aria-valuenow', String(load.filling_flops));
  meter.setAttribute('aria-valuemax', String(Math.max(thresholdFlops * LEAST_SCALE, load.filling_flops, 1)));
  meter.setAttribute('aria-valuetext', text);
}

function showCard(card, rank, thresholdFlops) {
  card.dataset.state = rank.state;
  setText(card.querySelector('[data-part="name"]'), `rank ${rank.engine}: ${rank.adapter}${rank.software ? ' (software)' : ''}`);
  setText(card.querySelector('[data-part="state"]'), rank.state);
  for (const [index, text] of factsOfRank(rank).entries()) setText(card.querySelector(`[data-fact="${FACTS[index]}"]`), text);
  showLoad(card, rank, thresholdFlops);
}

export function showRanks(list, { engines, saturation }) {
  if (list.children.length !== engines.length) list.replaceChildren(...engines.map(({ engine }) => newCard(engine)));
  for (const [index, rank] of engines.entries()) showCard(list.children[index], rank, saturation.threshold_flops);
}

/** What is wrong with ranks, as a sentence; empty when nothing is. */
export function rankTrouble({ engines }) {
  const inState = (state) => engines.filter((engine) => engine.state === state).map(({ engine }) => engine);
  const sentence = (ranks, text) => (ranks.length === 0 ? [] : [`${ranks.length === 1 ? 'Rank' : 'Ranks'} ${ranks.join(', ')} ${ranks.length === 1 ? 'is' : 'are'} ${text}.`]);
  return [...sentence(inState('gone'), 'gone and will not be started again'), ...sentence(inState('lost'), 'lost'), ...sentence(inState('starting'), 'starting')].join(' ');
}
