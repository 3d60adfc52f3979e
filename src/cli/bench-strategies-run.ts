/**
 * Runs the same prompts under every strategy. All clusters of a number of ranks are open together and repetitions are interleaved, so that a
 * noisy machine disturbs all alike; where the memory does not suffice for that, one cluster follows another.
 */
import { availableParallelism, freemem } from 'node:os';
import { splitIntoBatches } from '../cluster/batching.ts';
import type { Cluster, ClusterOptions, RunResult, Tuning } from '../cluster/index.ts';
import { rankThreads } from '../cluster/spawn.ts';
import type { Link } from '../collective/link.ts';
import { InputError } from '../errors.ts';
import { layerExpertBytes, sharedParameters } from '../model/flops.ts';
import type { SimStrategy } from '../sim/run-shape.ts';
import type { Setting, Variant } from './bench-strategies-setting.ts';

/** One run of the whole workload. */
export type Repetition = Omit<RunResult, 'logits'>;

/** What was measured of one strategy on one number of ranks, or why it could not be. */
export interface Trial {
  /** What was asked for, see {@link Variant}. */
  readonly variant: Variant;
  readonly strategy: SimStrategy;
  /** Why it cannot run. */
  readonly reason: string | null;
  readonly repetitions: readonly Repetition[];
  /** Device memory after the last run, the fullest rank's. */
  readonly deviceBytes: number;
  /** t_EP: the slowest gather of a layer during warm-up. */
  readonly gatherMs: number;
  /** How many of the ranks compute at the same time without slowing each other. */
  readonly processors: number;
  /** Of each rank, where all are on software adapters; null: they are not, or none ran. */
  readonly cores: number | null;
  /** Largest relative L2 distance of a sequence's logits from those of the first strategy that ran; null: it is the first. */
  readonly distance: number | null;
}

export interface RunContext {
  readonly setting: Setting;
  readonly ranks: number;
  link: Link | null;
  readonly launch: (options: ClusterOptions) => Promise<Cluster>;
  /** A line about what is going on. */
  readonly tell: (text: string) => void;
  /** Known kernels; what is measured is added. */
  tuning: Tuning;
}

/** A cluster that is open, and what it has done. */
interface Running {
  readonly variant: Variant;
  readonly cluster: Cluster;
  readonly repetitions: Repetition[];
  logits: Float32Array[];
}

function optionsOf({ setting: { flags, model }, ranks, link, tuning }: RunContext, { strategy, dispatch, passesInFlight, batchTokens }: Variant): ClusterOptions {
  const { adapters = [], precision, transport, wire } = flags;
  return {
    model: model.source, ranks, strategy, adapters, batchTokens: batchTokens ?? flags.batchTokens, transport, wire, dispatch: dispatch ?? flags.dispatch, tune: true, tuning,
    ...(passesInFlight === undefined ? {} : { passesInFlight }),
    ...(link === null ? {} : { link }), ...(precision === undefined ? {} : { dtype: precision }),
  };
}

/** The open cluster, or why there is none. */
async function open(context: RunContext, variant: Variant): Promise<Running | string> {
  context.tell(`starting ${variant.label}`);
  try {
    const cluster = await context.launch(optionsOf(context, variant));
    context.tuning = cluster.tuning;
    return { variant, cluster, repetitions: [], logits: [] };
  } catch (error) {
    if (error instanceof InputError) return error.problem;
    throw error;
  }
}

/** What passes reach where nothing travels, and where that was seen. */
export interface AchievedRate {
  /** FLOP/s of one rank. */
  readonly flopsPerSecond: number;
  readonly by: string;
}

/**
 * The FLOP rate that this workload reaches under `resident`: what a link must be held against, as the paper's hardware is taken at its MFU.
 * Where not every rank can hold all experts, the matmul rate stands in.
 */
export async function achievedRate(context: RunContext, matmulFlopsPerSecond: number): Promise<AchievedRate> {
  const opened = context.ranks === 1 ? 'one rank has no link' : await open({ ...context, link: null }, { label: 'resident, to set the link', strategy: 'resident' });
  if (typeof opened === 'string') return { flopsPerSecond: matmulFlopsPerSecond, by: 'the matmul rate' };
  return closing([opened], async () => {
    await repeat(context, opened);
    const { passes, wallMs } = opened.repetitions[0] as Repetition;
    return { flopsPerSecond: passes.reduce((sum, { flops }) => sum + flops, 0) / (wallMs / 1000) / context.ranks, by: 'what passes reach under resident' };
  });
}

/** The heaviest batch of each rank; as much as is ever under way, whatever the strategy makes of it. */
function warmUpPrompts({ prompts, flags: { batchTokens } }: Setting, ranks: number): Uint32Array[] {
  const batches = splitIntoBatches(prompts.map(({ length }) => length), batchTokens, ranks);
  return batches.slice(0, ranks).flat().map((index) => prompts[index] as Uint32Array);
}

async function repeat({ setting, ranks, tell }: RunContext, running: Running): Promise<void> {
  const { cluster, repetitions, variant: { label } } = running;
  if (repetitions.length === 0) await cluster.run(warmUpPrompts(setting, ranks), setting.candidates);
  const { logits, ...repetition } = await cluster.run(setting.prompts, setting.candidates);
  if (repetitions.length === 0) running.logits = logits;
  repetitions.push(repetition);
  tell(`repetition ${repetitions.length} of ${setting.flags.repetitions}: ${label} ${(repetition.wallMs / 1000).toFixed(2)} s`);
}

/** Largest relative L2 distance of a row from its counterpart. */
export function logitsDistance(logits: readonly Float32Array[], reference: readonly Float32Array[]): number {
  let largest = 0;
  for (const [index, row] of logits.entries()) {
    let [difference, norm] = [0, 0];
    for (const [i, value] of (reference[index] as Float32Array).entries()) {
      difference += ((row[i] as number) - value) ** 2;
      norm += value ** 2;
    }
    largest = Math.max(largest, Math.sqrt(difference / (norm || 1)));
  }
  return largest;
}

const deviceBytes = ({ ranks }: Cluster): number =>
  Math.max(...ranks.map(({ memory }) => memory.reduce((sum, { where, allocatedBytes }) => sum + (where === 'device' ? allocatedBytes : 0), 0)));

/** Software adapters share the machine's cores; ranks that name the same real adapter are on one device. */
function processorsOf({ ranks }: Cluster): number {
  const devices = new Set(ranks.filter(({ software }) => !software).map(({ adapter }) => adapter)).size;
  return devices + Math.min(ranks.filter(({ software }) => software).length, availableParallelism());
}

function trialOf({ variant, cluster, repetitions, logits }: Running, reference: readonly Float32Array[] | null): Trial {
  return {
    variant, strategy: variant.strategy, reason: null, repetitions, deviceBytes: deviceBytes(cluster), gatherMs: Math.max(...cluster.ranks.map(({ gatherMs }) => gatherMs)),
    processors: processorsOf(cluster),
    cores: cluster.ranks.every(({ software }) => software) ? rankThreads(cluster.ranks.length) : null,
    distance: reference === null ? null : logitsDistance(logits, reference),
  };
}

const notRun = (variant: Variant, reason: string): Trial => ({ variant, strategy: variant.strategy, reason, repetitions: [], deviceBytes: 0, gatherMs: 0, processors: 0, cores: null, distance: null });

/** Share of the free memory that all clusters together may take. */
const MEMORY_SHARE = 0.7;
/** What a rank process takes besides the model. */
const PROCESS_BYTES = 400e6;

/** A generous estimate: segments, and on every rank either all experts or its shard with two slots, staging and the first layer. */
function memoryNeeded({ setting: { model: { config }, weightBytes, strategies }, ranks }: RunContext): number {
  const layer = layerExpertBytes(config, weightBytes);
  const experts = config.layerIsMoe.filter(Boolean).length * layer;
  const perRank = PROCESS_BYTES + sharedParameters(config) * weightBytes;
  return strategies.reduce((sum, { strategy }) => sum + ranks * perRank + (strategy === 'resident' ? ranks * experts : 2 * experts + ranks * 4 * layer), 0);
}

/** Whether all clusters can be open together. */
const fitTogether = (context: RunContext): boolean => memoryNeeded(context) < MEMORY_SHARE * freemem();

async function closing<T>(running: readonly Running[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    await Promise.all(running.map(({ cluster }) => cluster.close()));
  }
}

async function runInterleaved(context: RunContext): Promise<Trial[]> {
  const running: Running[] = [];
  const reasons = new Map<Variant, string>();
  const { strategies, flags } = context.setting;
  return closing(running, async () => {
    for (const variant of strategies) {
      const opened = await open(context, variant);
      if (typeof opened === 'string') reasons.set(variant, opened);
      else running.push(opened);
    }
    for (let n = 0; n < flags.repetitions; n++) for (const one of running) await repeat(context, one);
    return strategies.map((variant) => {
      const one = running.find((other) => other.variant === variant);
      return one === undefined ? notRun(variant, reasons.get(variant) ?? '') : trialOf(one, one === running[0] ? null : (running[0] as Running).logits);
    });
  });
}

async function runOneByOne(context: RunContext): Promise<Trial[]> {
  const trials: Trial[] = [];
  let reference: readonly Float32Array[] | null = null;
  for (const variant of context.setting.strategies) {
    const opened = await open(context, variant);
    if (typeof opened === 'string') {
      trials.push(notRun(variant, opened));
      continue;
    }
    await closing([opened], async () => {
      for (let n = 0; n < context.setting.flags.repetitions; n++) await repeat(context, opened);
      trials.push(trialOf(opened, reference));
      reference ??= opened.logits;
    });
  }
  return trials;
}

/** Measures all strategies on one number of ranks. @returns in the order of the setting's strategies */
export async function runTrials(context: RunContext): Promise<{ readonly trials: Trial[]; readonly interleaved: boolean }> {
  const interleaved = fitTogether(context);
  if (!interleaved) context.tell('not enough memory for all strategies together: one after another, not interleaved');
  return { trials: await (interleaved ? runInterleaved(context) : runOneByOne(context)), interleaved };
}
