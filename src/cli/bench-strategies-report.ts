/** From what was measured to the figures of the report, and what the cost model says about each. */
import type { Link } from '../collective/link.ts';
import { layerExpertBytes, prefillFlops } from '../model/flops.ts';
import { crossOvers, predictRun, residentRate, saturationThreshold } from '../sim/cost.ts';
import type { Overheads } from '../sim/overheads.ts';
import { SOFTWARE_OVERHEADS } from '../sim/presets/software-overheads.ts';
import { BASELINES, type RunShape, type SimStrategy } from '../sim/run-shape.ts';
import type { Repetition, Trial } from './bench-strategies-run.ts';
import type { Setting } from './bench-strategies-setting.ts';

/** One strategy on one number of ranks. Medians over the repetitions; null: does not apply, or was not measured. */
export interface StrategyFigures {
  /** As it was asked for, see {@link Variant}. */
  readonly strategy: string;
  readonly kind: SimStrategy;
  readonly ranks: number;
  /** Why it could not run; all figures are null then. */
  readonly reason: string | null;
  readonly wallMs: number | null;
  /** Of each repetition. */
  readonly allWallMs: readonly number[];
  readonly tokensPerSecond: number | null;
  /** Over the fastest of the baselines `ep`, `dp-tp`, `tp-ep`, `tp` and `pp`. */
  readonly speedUp: number | null;
  /** True FLOPs of the workload over time and the measured matmul rate of the world. */
  readonly mfu: number | null;
  /** Means over the ranks, of the whole run. */
  readonly transferMs: number | null;
  readonly exposedMs: number | null;
  /** 1 - exposed / transfer; 1 where nothing is transferred. */
  readonly overlapEfficiency: number | null;
  /** For the whole workload, mean over ranks and layers. */
  readonly sentBytesPerRankLayer: number | null;
  /** Of the fullest rank. */
  readonly deviceBytes: number | null;
  /** Most over mean of the (token, expert) pairs of a rank, where experts are split by index. */
  readonly expertImbalance: number | null;
  readonly predictedMs: number | null;
  /** (predicted - measured) / measured. */
  readonly predictionError: number | null;
  /** See {@link Trial.distance}. */
  readonly distance: number | null;
}

/** Everything about one number of ranks. */
export interface WorldReport {
  readonly ranks: number;
  /** Measured matmul rate of one rank, FLOP/s. */
  readonly matmulFlopsPerSecond: number;
  /** Rate of the kernels in a pass, of one rank, from which predictions are made, and what it was taken from. */
  readonly kernelFlopsPerSecond: number;
  readonly calibratedBy: string;
  /** That predictions count beside FLOPs and bytes; null: none. */
  readonly overheads: Overheads | null;
  /** How many ranks compute at the same time without slowing each other. */
  readonly processors: number;
  readonly link: Link | null;
  readonly linkLines: readonly string[];
  readonly interleaved: boolean;
  /** Slowest gather of a layer at warm-up; null when nothing was gathered. */
  readonly gatherMs: number | null;
  /** T_batch (FLOPs) by the measured gather; null when nothing was gathered. */
  readonly threshold: number | null;
  /** Tokens of a batch from which `asyncep` is predicted to overtake a baseline; null: not up to 128K. */
  readonly crossOvers: Readonly<Partial<Record<SimStrategy, number | null>>>;
  readonly figures: readonly StrategyFigures[];
}

export interface WorldFacts {
  readonly setting: Setting;
  readonly ranks: number;
  readonly matmulFlopsPerSecond: number;
  readonly link: Link | null;
  readonly linkLines: readonly string[];
  readonly interleaved: boolean;
  readonly trials: readonly Trial[];
}

export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
};

type Count = 'transferMs' | 'exposedMs' | 'sentBytes';

const sumOf = ({ passes }: Repetition, key: Count): number => passes.reduce((sum, pass) => sum + pass[key], 0);

/** (token, expert) pairs of each rank in one run. */
function expertRows({ passes }: Repetition, ranks: number): number[] {
  const rows = Array.from({ length: ranks }, () => 0);
  for (const pass of passes) rows[pass.rank] = (rows[pass.rank] as number) + pass.expertRows;
  return rows;
}

const expertsByIndex = (strategy: SimStrategy): boolean => strategy === 'ep' || strategy === 'tp-ep';

/** Share of the pairs that each rank computed, as routing had it; undefined when nothing was counted. */
function measuredShares(trials: readonly Trial[], ranks: number): number[] | undefined {
  const [repetition] = trials.find(({ strategy, repetitions }) => expertsByIndex(strategy) && repetitions.length > 0)?.repetitions ?? [];
  const rows = repetition === undefined ? [] : expertRows(repetition, ranks);
  const total = rows.reduce((sum, count) => sum + count, 0);
  return total > 0 ? rows.map((count) => count / total) : undefined;
}

const medianWall = ({ repetitions }: Trial): number => median(repetitions.map(({ wallMs }) => wallMs));

/** What is predicted for all strategies of a world, at the matmul rate and under `resident`. */
export function baseShape({ setting, ranks, link, trials, matmulFlopsPerSecond }: WorldFacts): RunShape {
  const { flags: { batchTokens, wire, dispatch }, model: { config }, prompts, candidates, weightBytes } = setting;
  const expertShares = measuredShares(trials, ranks);
  const cores = trials.find(({ reason }) => reason === null)?.cores ?? null;
  return {
    config, strategy: 'resident', ranks, lengths: prompts.map(({ length }) => length), batchTokens, candidates: candidates.length,
    flopsPerSecond: matmulFlopsPerSecond, link: link ?? measuredLink(setting, ranks, trials), wire, weightBytes, dispatch,
    processors: Math.max(1, ...trials.map(({ processors }) => processors)),
    ...(expertShares === undefined ? {} : { expertShares }),
    ...(cores === null ? {} : { overheads: { ...SOFTWARE_OVERHEADS, cores } }),
  };
}

/** Where no link was asked for: the rate of the gathers that warm-up saw, for everything. */
function measuredLink({ model: { config }, weightBytes }: Setting, ranks: number, trials: readonly Trial[]): Link | null {
  const gatherMs = Math.max(0, ...trials.map((trial) => trial.gatherMs));
  if (gatherMs === 0 || ranks === 1) return null;
  return { bytesPerSecond: (layerExpertBytes(config, weightBytes) * (ranks - 1)) / ranks / (gatherMs / 1000), latencyMs: 0 };
}

/**
 * The rate at which `resident` would have to compute for its prediction to be right; without it, `asyncep` or `sync` less what was
 * exposed; without these, the matmul rate.
 */
function calibrate(shape: RunShape, trials: readonly Trial[]): { readonly rate: number; readonly by: string } {
  const wallMs = (trial: Trial): number => {
    const exposedMs = median(trial.repetitions.map((repetition) => sumOf(repetition, 'exposedMs') / shape.ranks));
    return medianWall(trial) - (trial.strategy === 'resident' ? 0 : exposedMs);
  };
  for (const name of ['resident', 'asyncep', 'sync'] as const) {
    const trial = trials.find(({ strategy, repetitions }) => strategy === name && repetitions.length > 0);
    if (trial === undefined) continue;
    return { rate: residentRate(shape, wallMs(trial)), by: name === 'resident' ? 'resident' : `${name} less what was exposed` };
  }
  return { rate: shape.flopsPerSecond as number, by: 'the matmul rate' };
}

/** A model so small that the overheads of another machine alone would take longer than it ran is predicted without. */
function calibrated(shape: RunShape, trials: readonly Trial[]): { readonly shape: RunShape; readonly by: string } {
  const { overheads, ...bare } = shape;
  try {
    const { rate, by } = calibrate(shape, trials);
    return { shape: { ...shape, flopsPerSecond: rate }, by };
  } catch (error) {
    if (overheads === undefined || !(error instanceof RangeError)) throw error;
    return calibrated(bare, trials);
  }
}

const NO_FIGURES = {
  wallMs: null, allWallMs: [], tokensPerSecond: null, speedUp: null, mfu: null, transferMs: null, exposedMs: null, overlapEfficiency: null,
  sentBytesPerRankLayer: null, deviceBytes: null, expertImbalance: null, predictedMs: null, predictionError: null, distance: null,
} as const;

function imbalance(trial: Trial, ranks: number): number | null {
  if (!expertsByIndex(trial.strategy)) return null;
  const rows = expertRows(trial.repetitions[0] as Repetition, ranks);
  const mean = rows.reduce((sum, count) => sum + count, 0) / ranks;
  return mean > 0 ? Math.max(...rows) / mean : null;
}

function figuresOf(trial: Trial, facts: WorldFacts, shape: RunShape, bestBaseline: number | null): StrategyFigures {
  const { variant: { label, dispatch = shape.dispatch, passesInFlight: inFlight, batchTokens = shape.batchTokens }, strategy: kind, reason, repetitions } = trial;
  const { ranks, setting: { workload, model: { config } } } = facts;
  const names = { strategy: label, kind, ranks };
  if (reason !== null) return { ...NO_FIGURES, ...names, reason };
  const wallMs = medianWall(trial);
  const perRank = (key: Count): number => median(repetitions.map((repetition) => sumOf(repetition, key) / ranks));
  const [transferMs, exposedMs] = [perRank('transferMs'), perRank('exposedMs')];
  const predictedMs = predictRun({ ...shape, strategy: kind, dispatch, batchTokens, ...(inFlight !== undefined && { inFlight }) }).wallMs;
  const flops = shape.lengths.reduce((sum, newTokens) => sum + prefillFlops(config, { newTokens, candidates: shape.candidates }, { lastLayerShortcut: true }), 0);
  return {
    ...names, reason, wallMs, allWallMs: repetitions.map((repetition) => repetition.wallMs), tokensPerSecond: workload.tokens / (wallMs / 1000),
    speedUp: bestBaseline === null ? null : bestBaseline / wallMs, mfu: flops / (wallMs / 1000) / (facts.matmulFlopsPerSecond * ranks),
    transferMs, exposedMs, overlapEfficiency: transferMs === 0 ? 1 : Math.max(0, 1 - exposedMs / transferMs),
    sentBytesPerRankLayer: perRank('sentBytes') / config.numHiddenLayers, deviceBytes: trial.deviceBytes, expertImbalance: imbalance(trial, ranks),
    predictedMs, predictionError: (predictedMs - wallMs) / wallMs, distance: trial.distance,
  };
}

/** By the mean length of the workload's requests. */
function crossOversOf(shape: RunShape, strategies: readonly SimStrategy[]): Partial<Record<SimStrategy, number | null>> {
  const length = Math.max(1, Math.round(shape.lengths.reduce((sum, tokens) => sum + tokens, 0) / shape.lengths.length));
  return crossOvers(shape, strategies, length);
}

/** All figures of one number of ranks. */
export function reportWorld(facts: WorldFacts): WorldReport {
  const { setting: { model: { config } }, ranks, trials, matmulFlopsPerSecond, link, linkLines, interleaved } = facts;
  const { shape, by } = calibrated(baseShape(facts), trials);
  const measured = trials.filter(({ reason }) => reason === null);
  const baselines = measured.filter(({ strategy }) => BASELINES.includes(strategy));
  const bestBaseline = baselines.length === 0 ? null : Math.min(...baselines.map(medianWall));
  const gatherMs = Math.max(0, ...measured.map((trial) => trial.gatherMs)) || null;
  return {
    ranks, matmulFlopsPerSecond, kernelFlopsPerSecond: shape.flopsPerSecond as number, calibratedBy: by, overheads: shape.overheads ?? null, processors: shape.processors as number, link, linkLines, interleaved, gatherMs,
    threshold: gatherMs === null ? null : saturationThreshold(config.layerIsMoe.filter(Boolean).length, gatherMs, matmulFlopsPerSecond),
    crossOvers: measured.some(({ strategy }) => strategy === 'asyncep') && ranks > 1 ? crossOversOf(shape, baselines.map(({ strategy }) => strategy)) : {},
    figures: trials.map((trial) => figuresOf(trial, facts, shape, bestBaseline)),
  };
}
