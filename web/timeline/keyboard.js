/** Keys and buttons: the same actions by both, and the way from bar to bar. */
import { barAt } from './bars.js';

const STEP = 0.2;
const FACTOR = 1.6;

const ACTIONS = {
  'zoom-in': (view) => view.zoom(FACTOR),
  'zoom-out': (view) => view.zoom(1 / FACTOR),
  'pan-left': (view) => view.pan(-STEP),
  'pan-right': (view) => view.pan(STEP),
  fit: (view) => view.fit(),
};

const KEYS = {
  '+': 'zoom-in', '=': 'zoom-in', '-': 'zoom-out', _: 'zoom-out', ArrowLeft: 'pan-left', ArrowRight: 'pan-right', 0: 'fit', Home: 'fit',
};

export function watchButtons(view, buttons) {
  for (const button of buttons) button.addEventListener('click', () => ACTIONS[button.dataset.do](view));
}

/** Lanes of a rank from top to bottom. */
const lanesOf = ({ rows }) => rows.flatMap(({ lanes }, row) => lanes.map((_, lane) => ({ row, lane })));

/** The first bar to tell of: the one nearest to the middle of what is shown, in the rank's first lane. */
function firstBar(view, rank) {
  const { from, to } = view.range;
  return { rank, row: 0, lane: 0, index: Math.max(0, barAt(view.ranks[rank].rows[0].lanes[0], (from + to) / 2, Infinity)) };
}

/** The neighbour of a bar: before and after it in its lane, or the nearest in the lane above or below. */
function neighbour(view, selection, key) {
  const { rows } = view.ranks[selection.rank];
  const lane = rows[selection.row].lanes[selection.lane];
  const step = key === 'ArrowLeft' || key === 'ArrowUp' ? -1 : 1;
  if (key === 'ArrowLeft' || key === 'ArrowRight') {
    return { ...selection, index: Math.min(Math.max(selection.index + step, 0), lane.start.length - 1) };
  }
  const lanes = lanesOf({ rows });
  const place = lanes.findIndex(({ row, lane }) => row === selection.row && lane === selection.lane);
  const next = lanes[Math.min(Math.max(place + step, 0), lanes.length - 1)];
  return { rank: selection.rank, ...next, index: Math.max(0, barAt(rows[next.row].lanes[next.lane], lane.start[selection.index], Infinity)) };
}

/** @param tell called with the bar that Shift and an arrow lead to, or with null after Escape */
export function watchKeys(view, tell) {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape') return tell(null);
    const rank = view.ranks.findIndex(({ canvas }) => canvas === document.activeElement);
    if (event.shiftKey && event.key.startsWith('Arrow')) {
      if (rank === -1) return;
      event.preventDefault();
      return tell(view.selection?.rank === rank ? neighbour(view, view.selection, event.key) : firstBar(view, rank));
    }
    const action = ACTIONS[KEYS[event.key]];
    if (action === undefined) return;
    event.preventDefault();
    action(view);
  });
}
