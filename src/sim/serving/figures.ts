/** What a replay comes to. */
import type { Machine } from './machine.ts';
import type { Pass } from './engine.ts';
import type { ServingWorkload } from './prompts.ts';
import type { Replay } from './replay.ts';

export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

/** Shares are from 0 to 1. Of the ranks' time, compute + exposed + idle = 1. */
export interface RouterFigures {
  readonly requests: number;
  readonly promptTokens: number;
  readonly wallMs: number;
  /** Tokens of prompts, cached ones included. */
  readonly tokensPerSecond: number;
  /** Cached tokens over prompt tokens. */
  readonly hitRate: number;
  /** True FLOPs that were computed. */
  readonly flops: number;
  /** Most over mean of the engines' FLOPs. */
  readonly imbalance: number;
  readonly batches: number;
  /** Share of batches with fewer FLOPs than T. */
  readonly belowThreshold: number;
  /** Mean of a batch's FLOPs over T; null where T is 0. */
  readonly meanFill: number | null;
  readonly computeShare: number;
  /** A pass was under way, and ranks waited: for experts, rows, or each other. */
  readonly exposedShare: number;
  /** No pass was under way. */
  readonly idleShare: number;
  /** FLOPs computed over time and the peak. */
  readonly mfu: number;
  /** From arrival to answer; null where everything is there at once. */
  readonly latencyMs: Latency | null;
  /** Saturated batches whose load was not in [T, T + what the last request added), which `prefix` and `grouped` promise not to make; null for those who know no T. */
  readonly outsideBound: number | null;
}

const sum = (passes: readonly Pass[], of: (pass: Pass) => number): number => passes.reduce((all, pass) => all + of(pass), 0);

/** The value that `share` of all are at or below. */
function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number;
}

function latencyOf({ prompts }: ServingWorkload, { answeredMs }: Replay): Latency {
  const waited = answeredMs.map((answered, i) => answered - (prompts[i]?.arrivalMs ?? 0)).toSorted();
  return { p50: quantile(waited, 0.5), p99: quantile(waited, 0.99) };
}

/** Relative difference that sums of FLOPs in another order may have. */
const ROUNDING = 1e-9;

/** Whether the load passed T with the last request and not before. */
const withinBound = ({ batch: { flops, lastFlops } }: Pass, threshold: number): boolean =>
  flops >= threshold * (1 - ROUNDING) && flops - lastFlops <= threshold * (1 + ROUNDING);

/**
 * Figures of one run on `machine`.
 * @param bounded whether the scheduler fills batches up to T
 */
export function figuresOf(workload: ServingWorkload, run: Replay, { ranks, engines, threshold, peakFlopsPerSecond }: Machine, bounded: boolean): RouterFigures {
  const { passes, wallMs, busyMs, totals } = run;
  const perEngine = new Float64Array(engines);
  for (const { batch, flops } of passes) perEngine[batch.engine] = (perEngine[batch.engine] as number) + flops;
  const flops = sum(passes, (pass) => pass.flops);
  const tokens = sum(passes, (pass) => pass.tokens);
  const available = ranks * wallMs;
  const computeMs = totals.computeMs.reduce((all, ms) => all + ms, 0);
  const [computeShare, exposedShare] = [computeMs / available, Math.max(0, busyMs - computeMs) / available];
  return {
    requests: workload.prompts.length, promptTokens: tokens, wallMs, tokensPerSecond: tokens / (wallMs / 1000), flops,
    hitRate: sum(passes, (pass) => pass.cachedTokens) / tokens,
    imbalance: (Math.max(...perEngine) * engines) / flops,
    batches: passes.length,
    belowThreshold: passes.filter((pass) => pass.flops < threshold).length / passes.length,
    meanFill: threshold === 0 ? null : sum(passes, (pass) => pass.flops / threshold) / passes.length,
    computeShare, exposedShare, idleShare: Math.max(0, 1 - computeShare - exposedShare),
    mfu: flops / ((wallMs / 1000) * ranks * peakFlopsPerSecond),
    latencyMs: workload.timed ? latencyOf(workload, run) : null,
    outsideBound: bounded && threshold > 0 ? passes.filter((pass) => pass.batch.saturated && !withinBound(pass, threshold)).length : null,
  };
}

/** Real milliseconds that the scheduler took for a request, median over rounds; null where nothing was timed. */
export function decisionMs({ rounds }: Pick<Replay, 'rounds'>): number | null {
  const each = Float64Array.from(rounds, ({ tookMs, requests }) => tookMs / requests).toSorted();
  return each.length === 0 ? null : quantile(each, 0.5);
}

/** Why one run has a higher throughput than another of the same workload and engines; the three factors multiply to `throughput`. */
export interface Gain {
  readonly throughput: number;
  /** Fewer FLOPs to compute: more hits. */
  readonly work: number;
  /** Less waiting for experts while a batch is there. */
  readonly hiding: number;
  /** Less time without a batch: balance. */
  readonly busy: number;
}

/**
 * tokens/s = tokens / FLOPs x FLOP/s of a busy kernel x compute / (compute + exposed) x (compute + exposed): so ratios of the factors multiply to
 * the ratio of throughputs.
 */
export function gainOver(run: RouterFigures, base: RouterFigures): Gain {
  const busy = ({ computeShare, exposedShare }: RouterFigures): number => computeShare + exposedShare;
  return {
    throughput: run.tokensPerSecond / base.tokensPerSecond,
    work: base.flops / run.flops,
    hiding: run.computeShare / busy(run) / (base.computeShare / busy(base)),
    busy: busy(run) / busy(base),
  };
}
