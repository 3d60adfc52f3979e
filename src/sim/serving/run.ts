/** One line of a router bench: a workload, a scheduler, a number of engines. */
import type { ModelConfig } from '../../model/types.ts';
import { BLOCK_TOKENS } from '../../runtime/kernels/attention.ts';
import { requestFlops } from '../../serving/request-flops.ts';
import { createScheduler } from '../../serving/scheduler.ts';
import { gathers, type SchedulerKind } from '../../serving/scheduling.ts';
import { STRATEGY_KINDS } from '../run-shape.ts';
import type { Schedule } from '../schedule.ts';
import { decisionMs, figuresOf, type RouterFigures } from './figures.ts';
import type { Machine } from './machine.ts';
import type { Prompt, ServingWorkload } from './prompts.ts';
import { replay } from './replay.ts';
import { CANDIDATES, type SimRequest } from './request.ts';

export interface RouterRun {
  readonly workload: ServingWorkload;
  readonly scheduler: SchedulerKind;
  readonly machine: Machine;
  readonly config: ModelConfig;
  /** Of each engine's prefix cache. */
  readonly cacheTokens: number;
  /** Tokens to compute of one batch at most, unless one prompt is longer. */
  readonly batchTokens: number;
  readonly maxWaitMs: number;
  readonly seed: number;
  readonly clock?: () => number;
  /** The steps of so many passes are kept (of each rank, where ranks run passes of their own). */
  readonly keptPasses?: number;
}

export interface RouterResult {
  readonly figures: RouterFigures;
  /** Real milliseconds that the scheduler took for a request; null without a clock. The only figure that differs from run to run. */
  readonly decisionMs: number | null;
  /** Steps that were simulated. */
  readonly steps: number;
  /** Steps of the first passes, where they were kept. */
  readonly schedule: Schedule | null;
}

/** True FLOPs of all prompts without any cache, and of the one with most: a run lasts as long as that one at least. */
export function workloadFlops({ prompts }: ServingWorkload, config: ModelConfig): { readonly all: number; readonly most: number } {
  const flops = requestFlops(config);
  return prompts.reduce(({ all, most }, { tokens }) => {
    const own = flops({ newTokens: tokens });
    return { all: all + own, most: Math.max(most, own) };
  }, { all: 0, most: 0 });
}

const NO_HASHES = new Float64Array(0);

/** Where engines have no prefix cache, and share nothing within a batch either, the router must not count on it. */
const withoutPrefix = ({ source, tokens, arrivalMs }: Prompt): Prompt => ({ source, tokens, arrivalMs, hashes: NO_HASHES });

export function runRouter(options: RouterRun): RouterResult {
  const { workload, scheduler: kind, machine, config, cacheTokens, batchTokens, maxWaitMs, seed, clock, keptPasses = 0 } = options;
  const { engines, threshold } = machine;
  const caches = STRATEGY_KINDS[machine.world.strategy] === 'streaming';
  const prompts = caches ? workload.prompts : workload.prompts.map(withoutPrefix);
  const cacheBlocks = caches ? Math.floor(cacheTokens / BLOCK_TOKENS) : 0;
  const longest = workload.prompts.reduce((most, { tokens }) => Math.max(most, tokens), 0);
  // All that a batch computes and all that it can take from the cache.
  const batchBlocks = Math.ceil(Math.max(batchTokens, longest) / BLOCK_TOKENS) + cacheBlocks;
  const scheduler = createScheduler<SimRequest>({
    kind, engines, threshold, batchTokens, batchBlocks, maxWaitMs, cacheBlocks, seed,
  });
  const run = replay({
    prompts, scheduler, world: { ...machine.world, config, candidates: CANDIDATES }, cacheBlocks, flops: requestFlops(config), keptPasses,
    ...(clock === undefined ? {} : { clock }),
  });
  return { figures: figuresOf(workload, run, machine, gathers(kind)), decisionMs: decisionMs(run), steps: run.steps, schedule: run.schedule };
}
