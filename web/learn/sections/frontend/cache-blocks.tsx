/** An engine's prefix cache as the frontend knows it: a square for each block. */
import { lookOf } from './prefixes.ts';
import type { CachePart } from './view.ts';

const COLUMNS = 16;
/** Of a square with its gap. */
const CELL = 10;
const SIDE = 8.4;

interface Square {
  readonly prefix: number | null;
  readonly what: 'committed' | 'pending' | 'free';
}

/** What stands where: all that is there, then what was promised, as far as there is room. */
function squaresOf(parts: readonly CachePart[], capacity: number): Square[] {
  const of = (what: 'committed' | 'pending'): Square[] => parts.flatMap((part) => Array.from({ length: part[what] }, () => ({ prefix: part.prefix, what })));
  const taken = [...of('committed'), ...of('pending')].slice(0, capacity);
  const order = ({ prefix }: Square): number => prefix ?? Infinity;
  taken.sort((a, b) => (order(a) === order(b) ? 0 : order(a) - order(b)));
  return [...taken, ...Array.from({ length: capacity - taken.length }, (): Square => ({ prefix: null, what: 'free' }))];
}

const pathOf = (places: readonly number[]): string =>
  places.map((place) => `M${(place % COLUMNS) * CELL} ${Math.floor(place / COLUMNS) * CELL}h${SIDE}v${SIDE}h-${SIDE}z`).join('');

/** One path for all squares that look alike. */
export function CacheBlocks({ parts, capacity }: { parts: readonly CachePart[]; capacity: number }) {
  const groups = new Map<string, { readonly square: Square; readonly places: number[] }>();
  squaresOf(parts, capacity).forEach((square, place) => {
    const key = `${square.what} ${square.prefix}`;
    const group = groups.get(key) ?? { square, places: [] };
    group.places.push(place);
    groups.set(key, group);
  });
  return (
    <svg class="cache" viewBox={`0 0 ${COLUMNS * CELL} ${Math.ceil(capacity / COLUMNS) * CELL}`} aria-hidden="true">
      {[...groups].map(([key, { square, places }]) => (
        <path key={key} class={`${square.what}${square.prefix === null ? ' own' : ''}`} style={square.prefix === null ? {} : lookOf(square.prefix).style} d={pathOf(places)} />
      ))}
    </svg>
  );
}
