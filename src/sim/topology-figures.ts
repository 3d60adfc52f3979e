/**
 * What a replay comes to while there is work for all: until the first rank has had its last batch. What comes then is the tail: a prompt of 128K tokens takes
 * its rank as long as a thousand others take theirs, so the end depends on where the longest stood in the queue.
 */
import type { RankPass, InStepReplay } from './topology-replay.ts';

/** Of the ranks' time in the window: compute + exposed + held + idle = 1. */
export interface SteadyFigures {
  /** Until the first rank has had its last batch. */
  readonly windowMs: number;
  /** Until the last answer. */
  readonly wallMs: number;
  /** Of prompts, cached ones included. */
  readonly tokensPerSecondPerRank: number;
  readonly computeShare: number;
  /** Ranks waited for experts. */
  readonly exposedShare: number;
  /** Ranks waited for others of their group. */
  readonly heldShare: number;
  readonly idleShare: number;
  /** Of the peak. */
  readonly mfu: number;
  /** Of all prompts, cached tokens over tokens. */
  readonly hitRate: number;
  readonly batches: number;
  /** Share of batches with fewer FLOPs than T. */
  readonly belowThreshold: number;
  /** Mean of a batch's tokens that were computed. */
  readonly batchTokens: number;
  /** Most over mean of the ranks' FLOPs in all. */
  readonly imbalance: number;
}

const sum = (passes: readonly RankPass[], of: (pass: RankPass) => number): number => passes.reduce((all, pass) => all + of(pass), 0);

export interface FiguresOf {
  readonly ranks: number;
  readonly threshold: number;
  readonly flopsPerSecond: number;
  readonly peakFlopsPerSecond: number;
}

/** Figures of a replay with at least one batch. */
export function steadyFigures({ passes, wallMs }: Pick<InStepReplay, 'passes' | 'wallMs'>, { ranks, threshold, flopsPerSecond, peakFlopsPerSecond }: FiguresOf): SteadyFigures {
  const lastMs = new Float64Array(ranks);
  for (const { rank, endMs } of passes) lastMs[rank] = Math.max(lastMs[rank] as number, endMs);
  const windowMs = lastMs.reduce((first, last) => Math.min(first, last), wallMs) || wallMs; // a rank without any batch: there is nothing but the tail
  /** The part of a pass before the window ends. */
  const inside = ({ startMs, endMs }: RankPass): number => (endMs <= windowMs ? 1 : Math.max(0, windowMs - startMs) / (endMs - startMs));
  const available = ranks * windowMs;
  const share = (of: (pass: RankPass) => number): number => sum(passes, (pass) => of(pass) * inside(pass)) / available;
  const computeShare = share(({ computeMs }) => computeMs);
  const exposedShare = share(({ exposedMs }) => exposedMs);
  const heldShare = share(({ startMs, endMs, computeMs, exposedMs }) => Math.max(0, endMs - startMs - computeMs - exposedMs));
  const perRank = new Float64Array(ranks);
  for (const { rank, flops } of passes) perRank[rank] = (perRank[rank] as number) + flops;
  const tokens = sum(passes, (pass) => pass.tokens);
  const cached = sum(passes, (pass) => pass.cachedTokens);
  return {
    windowMs, wallMs,
    tokensPerSecondPerRank: share((pass) => pass.tokens) * 1000,
    computeShare, exposedShare, heldShare, idleShare: Math.max(0, 1 - computeShare - exposedShare - heldShare),
    mfu: (computeShare * flopsPerSecond) / peakFlopsPerSecond,
    hitRate: cached / tokens,
    batches: passes.length,
    belowThreshold: passes.filter(({ flops }) => flops < threshold).length / passes.length,
    batchTokens: (tokens - cached) / passes.length,
    imbalance: (perRank.reduce((most, flops) => Math.max(most, flops), 0) * ranks) / perRank.reduce((all, flops) => all + flops, 0),
  };
}
