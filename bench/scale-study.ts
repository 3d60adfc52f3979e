/** One run of the study: the paper's mix through the router onto ranks that go in step as their arrangement makes them. */
import { BLOCK_TOKENS } from '../src/runtime/kernels/attention.ts';
import { requestFlops } from '../src/serving/request-flops.ts';
import { createScheduler } from '../src/serving/scheduler.ts';
import { moeLayersOf, ratesOf } from '../src/sim/plan/setting.ts';
import { arrivingAt, type Prompt } from '../src/sim/serving/prompts.ts';
import type { SimRequest } from '../src/sim/serving/request.ts';
import { syntheticWorkload } from '../src/sim/serving/synthetic.ts';
import { DGX_H100, nodesOf, ranksInStep } from '../src/sim/topology.ts';
import { steadyFigures, type SteadyFigures } from '../src/sim/topology-figures.ts';
import { replayInStep } from '../src/sim/topology-replay.ts';
import { arrangementOf, BATCH_TOKENS, CACHE_TOKENS, MAX_WAIT_MS, planOf, SEED, SETTING } from './scale-setting.ts';
import type { ScaleSpec } from './scale-spec.ts';

export interface StudyResult {
  /** Ranks that go in step with each other. */
  readonly inStep: number;
  readonly figures: SteadyFigures;
  /** From arrival to answer; null where all requests are there at once. */
  readonly latencyMs: { readonly p50: number; readonly p99: number } | null;
}

/** The prompts one after the other, evenly, so that they need `load` of what the ranks compute. */
function arriving(prompts: readonly Prompt[], load: number, ranks: number): Prompt[] {
  const { achievedFlopsPerSecond } = ratesOf(SETTING);
  const flops = requestFlops(SETTING.config);
  const all = prompts.reduce((sum, { tokens }) => sum + flops({ newTokens: tokens }), 0);
  const intervalMs = ((all / (achievedFlopsPerSecond * ranks)) * 1000) / load / prompts.length;
  return prompts.map((prompt, i) => arrivingAt(prompt, i * intervalMs));
}

function latencyOf(prompts: readonly Prompt[], answeredMs: Float64Array): StudyResult['latencyMs'] {
  const waited = answeredMs.map((answered, i) => answered - (prompts[i] as Prompt).arrivalMs).toSorted();
  const quantile = (share: number): number => waited[Math.max(0, Math.ceil(share * waited.length) - 1)] as number;
  return { p50: quantile(0.5), p99: quantile(0.99) };
}

export function runStudy(spec: ScaleSpec): StudyResult {
  const { ranks, requests, scheduler: kind, load, batchTokens = BATCH_TOKENS } = spec;
  const { achievedFlopsPerSecond: flopsPerSecond, peakFlopsPerSecond } = ratesOf(SETTING);
  const { transferMs: gatherMs, threshold } = planOf(spec);
  const inStep = ranksInStep(arrangementOf(spec), nodesOf(DGX_H100));
  const workload = syntheticWorkload(spec.workload, { requests, order: 'shuffled', seed: SEED });
  const prompts = load === undefined ? workload.prompts : arriving(workload.prompts, load, ranks);
  const longest = prompts.reduce((most, { tokens }) => Math.max(most, tokens), 0);
  const cacheBlocks = CACHE_TOKENS / BLOCK_TOKENS;
  const scheduler = createScheduler<SimRequest>({
    kind, engines: ranks, threshold, batchTokens, batchBlocks: Math.ceil(Math.max(batchTokens, longest) / BLOCK_TOKENS) + cacheBlocks,
    maxWaitMs: MAX_WAIT_MS, cacheBlocks, seed: SEED,
  });
  const run = replayInStep({
    prompts, scheduler, ranks, inStep, cacheBlocks, rates: { flopsPerSecond, gatherMs, moeLayers: moeLayersOf(SETTING.config) }, flops: requestFlops(SETTING.config),
  });
  return {
    inStep, figures: steadyFigures(run, { ranks, threshold, flopsPerSecond, peakFlopsPerSecond }),
    latencyMs: load === undefined ? null : latencyOf(prompts, run.answeredMs),
  };
}
