/**
 * The mixed workload: hits and balance by the server's own schedulers on simulated engines (`runRouter`), times of a batch by the fitted parameters.
 *
 *     AsyncEP      wall = batches x time of a batch / engines / share of the time in which engines compute
 *     baselines    the chunked run of all prompts x FLOPs left by the prefix cache / all FLOPs
 */
import { rankWeightBytes } from '../../src/model/flops.ts';
import type { SchedulerKind } from '../../src/serving/scheduling.ts';
import { hardwareOf } from '../../src/sim/hardware.ts';
import type { RouterFigures } from '../../src/sim/serving/figures.ts';
import { machineOf } from '../../src/sim/serving/machine.ts';
import type { ServingWorkload } from '../../src/sim/serving/prompts.ts';
import { runRouter, workloadFlops } from '../../src/sim/serving/run.ts';
import { syntheticWorkload, type Order } from '../../src/sim/serving/synthetic.ts';
import { BASELINE_NAMES, CHUNK_TOKENS, predictChunked, type Baseline } from './chunked.ts';
import { COUNTS, machineFor, MODEL, stepMs, type Fitted, type Machine } from './device.ts';
import type { ConfigurationName } from './published.ts';

const ENGINES = 8;
/** Keys and values that an engine of its own keeps under AsyncEP, and the tokens of a batch of a scheduler that knows no T. */
const CACHE_TOKENS = 131_072;
const BATCH_TOKENS = 65_536;
const USABLE_MEMORY = 0.9;
/** Keys and values of a token in all layers, in 16 bits. */
const KEY_VALUE_BYTES = 2 * 2 * MODEL.numHiddenLayers * MODEL.numKeyValueHeads * MODEL.headDim;

export interface MixedOptions {
  readonly order: Order;
  /** Of the 73,800; all by default. */
  readonly requests?: number;
}

/** What the schedulers make of the queue on one machine; the fit has no part in it. */
export interface RoutedMix {
  readonly machine: Machine;
  /** Tokens of the prompts, in the order of the queue. */
  readonly lengths: readonly number[];
  /** Without any cache. */
  readonly allFlops: number;
  /** Eight engines: the default scheduler, and the paper's frontend. */
  readonly backend: RouterFigures;
  readonly whole: RouterFigures;
  /** One engine on all devices. */
  readonly inTurn: RouterFigures;
  readonly shortestFirst: RouterFigures;
}

export interface BaselineFigures {
  /** With the scheduler's name where it is not the default one. */
  readonly name: string;
  readonly tokensPerSecond: number;
  readonly mfu: number;
  readonly hitRate: number;
}

export interface MixedFigures {
  /** DP+AsyncEP behind the default scheduler, and behind the paper's frontend. Tokens/s. */
  readonly backend: number;
  readonly whole: number;
  readonly hits: { readonly backend: number; readonly whole: number };
  readonly baselines: readonly BaselineFigures[];
}

function routed(name: ConfigurationName, workload: ServingWorkload, scheduler: SchedulerKind, engines: number, cacheTokens: number): RouterFigures {
  const machine = machineOf({
    hardware: hardwareOf(`8x${name}`), config: MODEL, strategy: 'asyncep', ranks: engines, cacheTokens: Math.min(cacheTokens, CACHE_TOKENS), gamma: 1.2, saturation: 'peak', batchTokens: BATCH_TOKENS,
  });
  return runRouter({ workload, scheduler, machine, config: MODEL, cacheTokens, batchTokens: BATCH_TOKENS, maxWaitMs: 1000, seed: 1 }).figures;
}

/** Tokens/s of engines whose batches take what the fit says. */
function streamedRate({ promptTokens, hitRate, flops, batches, computeShare }: RouterFigures, fitted: Fitted, machine: Machine): number {
  const tokens = promptTokens * (1 - hitRate);
  const batch = { tokens: tokens / batches, pairs: Math.max(0, flops - tokens * (COUNTS.dense + COUNTS.experts)) / COUNTS.pair / batches };
  return (promptTokens / ((batches * stepMs(batch, fitted, machine)) / ENGINES / computeShare)) * 1000;
}

/** Tokens of keys and values that all devices together keep of one engine that they share. */
function sharedCacheTokens({ hardware, weightBytes }: Machine): number {
  const { shared, shard, firstLayer } = rankWeightBytes(MODEL, MODEL.numExperts, weightBytes);
  return Math.max(0, Math.floor((ENGINES * USABLE_MEMORY * hardware.memoryBytes.value - shared - shard - firstLayer) / KEY_VALUE_BYTES));
}

export function routeMixed(name: ConfigurationName, { order, requests }: MixedOptions): RoutedMix {
  const machine = machineFor(name);
  const workload = syntheticWorkload('mixed', { order, seed: 1, ...(requests !== undefined && { requests }) });
  const own = (scheduler: SchedulerKind): RouterFigures => routed(name, workload, scheduler, ENGINES, CACHE_TOKENS);
  const shared = (scheduler: SchedulerKind): RouterFigures => routed(name, workload, scheduler, 1, sharedCacheTokens(machine));
  return {
    machine, lengths: workload.prompts.map(({ tokens }) => tokens), allFlops: workloadFlops(workload, MODEL).all,
    backend: own('least-loaded'), whole: own('prefix'), inTurn: shared('least-loaded'), shortestFirst: shared('shortest-prefill-first'),
  };
}

export function predictMixed(mix: RoutedMix, fitted: Fitted, chunkTokens = CHUNK_TOKENS): MixedFigures {
  const { machine, lengths, allFlops, backend, whole, inTurn, shortestFirst } = mix;
  const baseline = (name: string, strategy: Baseline, queue: readonly number[], figures: RouterFigures): BaselineFigures => {
    const { tokensPerSecond, mfu } = predictChunked({ strategy, lengths: queue, ranks: ENGINES, machine, fitted, chunkTokens });
    return { name, tokensPerSecond: tokensPerSecond * (allFlops / figures.flops), mfu, hitRate: figures.hitRate };
  };
  return {
    backend: streamedRate(backend, fitted, machine), whole: streamedRate(whole, fitted, machine), hits: { backend: backend.hitRate, whole: whole.hitRate },
    baselines: [
      ...BASELINE_NAMES.map((strategy) => baseline(strategy, strategy, lengths, strategy === 'ep' || strategy === 'dp-tp' ? backend : inTurn)),
      baseline('pp, shortest first', 'pp', lengths.toSorted((a, b) => a - b), shortestFirst),
    ],
  };
}

export const bestOf = ({ baselines }: MixedFigures): BaselineFigures => baselines.reduce((best, other) => (other.tokensPerSecond > best.tokensPerSecond ? other : best));
