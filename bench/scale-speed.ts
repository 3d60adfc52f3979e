/** One run of the simulator's own core: how many events it plays. */
import { HARDWARE, type Hardware } from '../src/sim/hardware.ts';
import { machineOf } from '../src/sim/serving/machine.ts';
import { runRouter } from '../src/sim/serving/run.ts';
import { syntheticWorkload } from '../src/sim/serving/synthetic.ts';
import { BATCH_TOKENS, CACHE_TOKENS, MAX_WAIT_MS, planOf, SEED, SETTING } from './scale-setting.ts';
import type { ScaleSpec } from './scale-spec.ts';

export interface SpeedResult {
  /** Steps of compute and of transfers, requests that were routed, batches that left. */
  readonly events: number;
  readonly batches: number;
  readonly promptTokens: number;
  /** Simulated. */
  readonly wallMs: number;
}

export function runSpeed(spec: ScaleSpec): SpeedResult {
  const { ranks, requests, scheduler } = spec;
  const { config, gamma } = SETTING;
  const limits = { cacheTokens: CACHE_TOKENS, batchTokens: BATCH_TOKENS };
  const machine = machineOf({ hardware: HARDWARE['8xh100-fp8'] as Hardware, config, strategy: 'asyncep', ranks, gamma, saturation: 'peak', gatherMs: planOf(spec).transferMs, ...limits });
  const workload = syntheticWorkload(spec.workload, { requests, order: 'shuffled', seed: SEED });
  const { figures, steps } = runRouter({ workload, scheduler, config, machine, maxWaitMs: MAX_WAIT_MS, seed: SEED, ...limits });
  return { events: steps + figures.requests + figures.batches, batches: figures.batches, promptTokens: figures.promptTokens, wallMs: figures.wallMs };
}
