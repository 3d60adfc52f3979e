/**
 * The slots of a rank at a moment: which layer is in which, how far it has come, how much of it is still needed. Pure.
 *
 * Streamed layers take the slots in turn, on and on over all passes. A slot fills while the layer's transfers run, is full until its compute begins,
 * and drains while the layer computes; then it is free for the next one.
 */
import type { Track } from '../../../src/trace/events.ts';
import { groupBy } from './group.ts';
import type { Bar, DrawnRank } from './timeline.ts';

/** One layer's stay in a slot. */
export interface Stay {
  readonly slot: number;
  readonly pass: number | null;
  readonly layer: number;
  /** What brings it, by start; empty where it was there when the run began. */
  readonly transfers: readonly Bar[];
  /** null: not computed in this timeline, or not measured. */
  readonly compute: Pick<Bar, 'fromMs' | 'toMs'> | null;
}

export interface SlotState {
  readonly layer: number | null;
  readonly state: 'empty' | 'filling' | 'full' | 'computing';
  /** 0: empty, 1: full. */
  readonly level: number;
}

const barsOf = ({ rows }: DrawnRank, track: Track): Bar[] =>
  rows.filter((row) => row.track === track).flatMap(({ lanes }) => lanes.flat()).sort((a, b) => a.fromMs - b.fromMs);

/** Transfers of weights; rows of activations that travel in a layer fill no slot. */
const bringsWeights = ({ name }: Bar): boolean => /^(gather|copy|submit copies of) layer /.test(name);

/** Where a layer of a pass begins, for sorting. */
const beginOf = ({ transfers: [first], compute }: Stay): number => Math.min(first?.fromMs ?? Infinity, compute?.fromMs ?? Infinity);
const keyOf = ({ pass, layer }: Pick<Bar, 'pass' | 'layer'>): string => `${pass} ${layer}`;

/** All stays of a rank's layers in its slots, in the order in which they are used; none where no weights travel. */
export function staysOf(rank: DrawnRank, slots: number): Stay[] {
  if (slots === 0) return [];
  const transfers = groupBy([...barsOf(rank, 'receive'), ...barsOf(rank, 'slot')].filter((bar) => bar.layer !== null && bringsWeights(bar)), keyOf);
  const streamed = new Set([...transfers.values()].map(([first]) => first?.layer));
  const computes = groupBy(barsOf(rank, 'compute').filter(({ layer }) => streamed.has(layer)), keyOf);
  const stays = [...new Set([...transfers.keys(), ...computes.keys()])].map((key): Omit<Stay, 'slot'> => {
    const [moved, computed] = [transfers.get(key) ?? [], computes.get(key) ?? []];
    const { pass, layer } = (computed[0] ?? moved[0]) as Bar;
    const compute = computed.length === 0 ? null : { fromMs: (computed[0] as Bar).fromMs, toMs: Math.max(...computed.map(({ toMs }) => toMs)) };
    return { pass, layer: layer as number, transfers: moved.sort((a, b) => a.fromMs - b.fromMs), compute };
  });
  return stays.map((stay) => ({ ...stay, slot: 0 })).sort((a, b) => (a.pass ?? 0) - (b.pass ?? 0) || a.layer - b.layer || beginOf(a) - beginOf(b))
    .map((stay, position) => ({ ...stay, slot: position % slots }));
}

/** Share of the time of all transfers that has gone by. */
function arrived(transfers: readonly Bar[], ms: number): number {
  let [sum, done] = [0, 0];
  for (const { fromMs, toMs } of transfers) {
    sum += toMs - fromMs;
    done += Math.min(Math.max(ms - fromMs, 0), toMs - fromMs);
  }
  return sum === 0 ? 1 : done / sum;
}

function stateOf({ layer, transfers, compute }: Stay, ms: number): SlotState {
  if (compute !== null && ms >= compute.toMs) return { layer: null, state: 'empty', level: 0 };
  if (compute !== null && ms >= compute.fromMs) return { layer, state: 'computing', level: 1 - (ms - compute.fromMs) / (compute.toMs - compute.fromMs) };
  const level = arrived(transfers, ms);
  return { layer, state: level < 1 ? 'filling' : 'full', level };
}

/** From when a slot is a layer's: its first transfer, when the layer before has left. */
const takenFrom = ({ transfers: [first] }: Stay, before: Stay | undefined): number => Math.max(first?.fromMs ?? -Infinity, before?.compute?.toMs ?? -Infinity);

/** @param stays of {@link staysOf}. @returns one state for each slot */
export function slotsAt(stays: readonly Stay[], slots: number, ms: number): SlotState[] {
  return Array.from({ length: slots }, (_, slot) => {
    const own = stays.filter((stay) => stay.slot === slot);
    const index = own.findLastIndex((stay, i) => takenFrom(stay, own[i - 1]) <= ms);
    const stay = own[index];
    return stay === undefined ? { layer: null, state: 'empty', level: 0 } : stateOf(stay, ms);
  });
}
