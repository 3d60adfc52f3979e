/** What a rank does at a moment, as data and in words. Pure. */
import { groupBy } from './group.ts';
import type { Bar, DrawnRank } from './timeline.ts';

export interface Doing {
  readonly compute: Bar | null;
  /** Layer that the rank stands still for. */
  readonly waits: Bar | null;
  /** Under way to the rank. */
  readonly transfers: readonly Bar[];
}

/** The bar of a lane at a moment. */
function barAt(lane: readonly Bar[], ms: number): Bar | null {
  let [low, high] = [0, lane.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((lane[middle] as Bar).toMs > ms) high = middle;
    else low = middle + 1;
  }
  const bar = lane[low];
  return bar !== undefined && bar.fromMs <= ms ? bar : null;
}

export function doingAt({ rows, exposed }: DrawnRank, ms: number): Doing {
  const at = (tracks: readonly string[]): Bar[] => rows.filter(({ track }) => tracks.includes(track)).flatMap(({ lanes }) => lanes.flatMap((lane) => barAt(lane, ms) ?? []));
  const [compute = null] = at(['compute']);
  const standsStill = exposed.some(([from, to]) => ms >= from && ms < to);
  return { compute, waits: standsStill ? at(['wait'])[0] ?? null : null, transfers: at(['receive', 'slot']) };
}

const percent = ({ fromMs, toMs }: Bar, ms: number): string => `${Math.floor((100 * (ms - fromMs)) / (toMs - fromMs))} %`;

/** What all ranks do: those that do the same are told of together. */
export function allInWords(ranks: readonly DrawnRank[], ms: number): string {
  const groups = [...groupBy(ranks, (rank) => inWords(rank, ms))];
  const who = (some: readonly DrawnRank[]): string => (some.length === 1 ? `rank ${some[0]?.rank}` : some.length === ranks.length ? `each of ${ranks.length} ranks` : `each of the ranks ${some.map(({ rank }) => rank).join(', ')}`);
  return groups.map(([words, some]) => `${who(some)} ${words}`).join('; ');
}

/** `computes layer 3 (40 %) while layer 4 comes in (85 %)`. */
export function inWords(rank: DrawnRank, ms: number): string {
  const { compute, waits, transfers: [transfer] } = doingAt(rank, ms);
  const coming = transfer === undefined ? '' : ` while ${transfer.layer === null ? transfer.name : `layer ${transfer.layer}`} comes in (${percent(transfer, ms)})`;
  if (waits !== null) return `stands still: ${waits.layer === null ? waits.name : `layer ${waits.layer} is not there yet`}${transfer === undefined ? '' : ` (${percent(transfer, ms)})`}`;
  if (compute !== null) return `computes ${compute.name} (${percent(compute, ms)})${coming}`;
  return transfer === undefined ? 'has nothing to do' : `computes nothing${coming}`;
}
