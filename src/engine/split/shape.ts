/** How ranks split the layers of a batch that they compute together. */
import type { IndexRange } from '../../model/shard.ts';
import type { WireDtype } from '../../runtime/kernels/exchange.ts';

/** `data`: every rank attends over sequences of its own. `heads`: all ranks over all sequences, each with some heads. */
export type AttentionSplit = 'data' | 'heads';
/** `index`: a rank has some experts. `width`: some columns of every expert. */
export type ExpertSplit = 'index' | 'width';
/** What travels to experts: a token once to each `rank` that has one of its experts, or once for each chosen `expert`. */
export const DISPATCHES = ['rank', 'expert'] as const;
export type Dispatch = (typeof DISPATCHES)[number];

export interface SplitShape {
  readonly rank: number;
  readonly world: number;
  readonly attention: AttentionSplit;
  readonly experts: ExpertSplit;
  /** Element type of rows on the way. */
  readonly wire: WireDtype;
  /** Experts of each rank; all of them where experts are split by width. */
  readonly owned: readonly IndexRange[];
  /** Rows that one token may become for one rank, and the choices of each. */
  readonly unitsPerToken: number;
  readonly choices: number;
  /** Experts that a received row's ids may name: the rank's own, and one more that stands for all others. */
  readonly buckets: number;
}

/** @param owned experts of each rank (`index`), or undefined (`width`) */
export function splitShape(options: {
  readonly rank: number; readonly world: number; readonly attention: AttentionSplit; readonly wire: WireDtype; readonly dispatch: Dispatch;
  readonly numExperts: number; readonly topK: number; readonly owned?: readonly IndexRange[];
}): SplitShape {
  const { rank, world, attention, wire, dispatch, numExperts, topK, owned } = options;
  const all = Array.from({ length: world }, () => ({ first: 0, count: numExperts }));
  const units = owned && dispatch === 'expert' ? topK : 1;
  return {
    rank, world, attention, wire, experts: owned ? 'index' : 'width', owned: owned ?? all,
    unitsPerToken: units, choices: topK / units, buckets: (owned ? (owned[rank]?.count ?? 0) : numExperts) + 1,
  };
}
