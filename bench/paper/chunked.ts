/**
 * The baselines as vLLM runs them: an engine takes its queue in steps of so many tokens (chunked prefill), a long prompt in many of them, and nothing of
 * a step's exchanges is hidden.
 *
 *     pp              one engine; a step goes through P stages, P of them are under way, and none overtakes another
 *     tp, tp-ep       one engine; every step on all devices, exchanges in each layer
 *     ep, dp-tp       an engine on each device with a queue of its own; in each layer all of them wait for the slowest
 */
import { pipelineStages } from '../../src/sim/pipeline.ts';
import type { SimStrategy } from '../../src/sim/run-shape.ts';
import { attentionMs, expertsMs, flopsOf, MODEL, wholeSequences, type Fitted, type Machine, type StepWork } from './device.ts';

export type Baseline = Extract<SimStrategy, 'ep' | 'dp-tp' | 'tp-ep' | 'tp' | 'pp'>;
export const BASELINE_NAMES: readonly Baseline[] = ['ep', 'dp-tp', 'tp-ep', 'tp', 'pp'];

/** vLLM's `max-num-batched-tokens` on a server with 70 GiB or more that is no A100. */
export const CHUNK_TOKENS = 8192;
/**
 * FLOPs of the experts of the fullest of eight devices over the mean. The paper's Qwen3-30B has 16.15 between the most and the least used of 128 experts
 * (section 4.2): 5.4 standard deviations apart if the loads are log-normal, so sigma = ln 16.15 / 5.4 = 0.515; a device's sixteen experts together vary by
 * sqrt(e^(sigma^2) - 1) / 4 = 0.14, and the most of eight is 1.4 of these above the mean.
 */
const FULLEST_DEVICE = 1.19;
const ROW_BYTES = 2 * MODEL.hiddenSize;

/** A queue as steps of `chunkTokens`; a prompt's later tokens see its earlier ones. */
export function chunked(lengths: readonly number[], chunkTokens: number): StepWork[] {
  const steps: StepWork[] = [];
  let [tokens, pairs] = [0, 0];
  const close = (): void => {
    if (tokens > 0) steps.push({ tokens, pairs });
    [tokens, pairs] = [0, 0];
  };
  for (const length of lengths) {
    for (let done = 0; done < length;) {
      const taken = Math.min(length - done, chunkTokens - tokens);
      pairs += taken * done + (taken * (taken + 1)) / 2;
      tokens += taken;
      done += taken;
      if (tokens === chunkTokens) close();
    }
  }
  close();
  return steps;
}

/**
 * When the last of some steps leaves a pipeline, each as long on every stage. With as many under way as there are stages a long step holds up
 * all behind it, and the stages before it run dry.
 */
export function pipelineMs(stepMs: readonly number[], stages: number): number {
  const ends: number[] = [];
  const free = new Float64Array(stages);
  for (const [step, ms] of stepMs.entries()) {
    let now = ends[step - stages] ?? 0;
    for (let stage = 0; stage < stages; stage++) now = free[stage] = Math.max(now, free[stage] as number) + ms;
    ends.push(now);
  }
  return ends.at(-1) ?? 0;
}

export interface ChunkedRun {
  readonly strategy: Baseline;
  /** Tokens of each prompt, in the order of the queue. */
  readonly lengths: readonly number[];
  readonly ranks: number;
  readonly machine: Machine;
  readonly fitted: Fitted;
  readonly chunkTokens?: number;
}

/** Milliseconds of exchanges in all layers, in which a device sends `rows` in each. */
function exchangeMs(rows: number, count: number, { exchange }: Fitted, { linkBytesPerSecond, linkLatencyMs }: Machine): number {
  return MODEL.numHiddenLayers * ((1000 * rows * ROW_BYTES) / (exchange * linkBytesPerSecond) + count * linkLatencyMs);
}

function pipelined({ lengths, ranks, machine, fitted, chunkTokens = CHUNK_TOKENS }: ChunkedRun): number {
  const share = Math.max(...pipelineStages(MODEL, ranks).map(({ count }) => count)) / MODEL.numHiddenLayers;
  return pipelineMs(chunked(lengths, chunkTokens).map((step) => attentionMs(step, fitted, machine, share) + expertsMs(step.tokens, fitted, machine, share)), ranks);
}

/** All devices compute every step, 1/P of it each. */
function shared({ strategy, lengths, ranks, machine, fitted, chunkTokens = CHUNK_TOKENS }: ChunkedRun): number {
  const others = (ranks - 1) / ranks;
  const [fullest, rows] = strategy === 'tp'
    ? [1, (tokens: number) => 4 * others * tokens] // two AllReduces, 2 (P-1)/P each
    : [FULLEST_DEVICE, (tokens: number) => 2 * others * tokens + (2 * MODEL.numExpertsPerTok * others * tokens) / ranks]; // one, and two AllToAlls of own rows
  return chunked(lengths, chunkTokens).reduce((sum, step) => sum + attentionMs(step, fitted, machine, 1 / ranks) + expertsMs(step.tokens, fitted, machine, fullest / ranks)
    + exchangeMs(rows(step.tokens), strategy === 'tp' ? 2 : 3, fitted, machine), 0);
}

/** Each device attends to its own queue. */
function inLockstep({ strategy, lengths, ranks, machine, fitted, chunkTokens = CHUNK_TOKENS }: ChunkedRun): number {
  const queues = Array.from({ length: ranks }, (_, rank) => chunked(lengths.filter((__, index) => index % ranks === rank), chunkTokens));
  const steps = Math.max(...queues.map((queue) => queue.length));
  const others = ranks - 1;
  const [fullest, copies] = strategy === 'ep' ? [FULLEST_DEVICE, (MODEL.numExpertsPerTok * others) / ranks] : [1, others];
  let sum = 0;
  for (let step = 0; step < steps; step++) {
    const works = queues.flatMap((queue) => queue[step] ?? []);
    const tokens = works.reduce((all, work) => all + work.tokens, 0);
    const most = works.reduce((longest, work) => Math.max(longest, work.tokens), 0);
    sum += Math.max(...works.map((work) => attentionMs(work, fitted, machine))) + expertsMs(tokens, fitted, machine, fullest / ranks) + exchangeMs(2 * copies * most, 2, fitted, machine);
  }
  return sum;
}

export interface ChunkedFigures {
  readonly wallMs: number;
  readonly tokensPerSecond: number;
  /** From 0 to 1. */
  readonly mfu: number;
}

export function predictChunked(run: ChunkedRun): ChunkedFigures {
  const wallMs = run.strategy === 'pp' ? pipelined(run) : run.strategy === 'tp' || run.strategy === 'tp-ep' ? shared(run) : inLockstep(run);
  const work = wholeSequences(run.lengths);
  return {
    wallMs, tokensPerSecond: (work.tokens / wallMs) * 1000,
    mfu: flopsOf(work) / (wallMs / 1000) / (run.ranks * run.machine.peakFlopsPerSecond),
  };
}

/** The fastest of them. */
export function bestChunked(run: Omit<ChunkedRun, 'strategy'>): ChunkedFigures & { readonly strategy: Baseline } {
  const all = BASELINE_NAMES.map((strategy) => ({ strategy, ...predictChunked({ ...run, strategy }) }));
  return all.reduce((best, other) => (other.tokensPerSecond > best.tokensPerSecond ? other : best));
}
