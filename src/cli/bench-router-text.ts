/** The report of `bench router` as tables for the terminal, and as CSV. */
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';
import type { SchedulerKind } from '../serving/scheduling.ts';
import { gainOver, type Gain, type RouterFigures } from '../sim/serving/figures.ts';
import { STRATEGY_KINDS } from '../sim/run-shape.ts';
import type { Schedule } from '../sim/schedule.ts';
import type { Machine } from '../sim/serving/machine.ts';
import { bestHitRate } from '../sim/serving/prompts.ts';
import { workloadFlops } from '../sim/serving/run.ts';
import type { RouterSetting } from './bench-router-setting.ts';
import { csvOf } from './csv.ts';
import { formatCount, formatFlops, formatPercent } from './format.ts';
import { newTable } from './table.ts';

/** What others are compared with. */
const BASE: SchedulerKind = 'least-loaded';

/** One scheduler on one number of engines. */
export interface RouterRow {
  readonly scheduler: SchedulerKind;
  readonly engines: number;
  readonly figures: RouterFigures;
  /** Over {@link BASE} on as many engines; null where that was not run. */
  readonly gain: Gain | null;
  /** Real milliseconds that the scheduler took for a request. */
  readonly decisionMs: number | null;
  /** Steps of the first passes, where they were kept. */
  readonly schedule: Schedule | null;
}

/** All schedulers on one number of engines. */
export interface RouterWorld {
  readonly machine: Machine;
  readonly rows: readonly RouterRow[];
}

/** A line before its gain is known. */
type PlainRow = Omit<RouterRow, 'gain'>;

/** Compares every row with that of {@link BASE}. */
export function withGains(rows: readonly PlainRow[]): RouterRow[] {
  const base = rows.find(({ scheduler }) => scheduler === BASE);
  return rows.map((row) => ({ ...row, gain: base === undefined ? null : gainOver(row.figures, base.figures) }));
}

interface Column {
  readonly head: string;
  readonly text: (row: RouterRow) => string;
  /** Shown only where arrivals have times. */
  readonly timed?: true;
}

const NONE = '-';
const times = (value: number | undefined): string => value?.toFixed(3) ?? NONE;
const seconds = (ms: number | undefined): string => (ms === undefined ? NONE : (ms / 1000).toFixed(2));

const COLUMNS: readonly Column[] = [
  { head: 'scheduler', text: ({ scheduler }) => scheduler },
  { head: 'tokens/s', text: ({ figures }) => formatCount(figures.tokensPerSecond) },
  { head: `/ ${BASE}`, text: ({ gain }) => times(gain?.throughput) },
  { head: '= work', text: ({ gain }) => times(gain?.work) },
  { head: 'x hiding', text: ({ gain }) => times(gain?.hiding) },
  { head: 'x busy', text: ({ gain }) => times(gain?.busy) },
  { head: 'hits', text: ({ figures }) => formatPercent(figures.hitRate) },
  { head: 'max/mean', text: ({ figures }) => figures.imbalance.toFixed(3) },
  { head: 'batches', text: ({ figures }) => formatCount(figures.batches) },
  { head: 'below T', text: ({ figures }) => formatPercent(figures.belowThreshold) },
  { head: 'fill', text: ({ figures }) => figures.meanFill?.toFixed(2) ?? NONE },
  { head: 'exposed', text: ({ figures }) => formatPercent(figures.exposedShare) },
  { head: 'idle', text: ({ figures }) => formatPercent(figures.idleShare) },
  { head: 'MFU', text: ({ figures }) => formatPercent(figures.mfu) },
  { head: 'p50 s', text: ({ figures }) => seconds(figures.latencyMs?.p50), timed: true },
  { head: 'p99 s', text: ({ figures }) => seconds(figures.latencyMs?.p99), timed: true },
  { head: 'outside', text: ({ figures }) => figures.outsideBound?.toFixed(0) ?? NONE },
  { head: 'us/request', text: ({ decisionMs }) => (decisionMs === null ? NONE : (decisionMs * 1000).toFixed(1)) },
];

/** What the columns mean, a line each. */
export const LEGEND: readonly string[] = [
  'tokens/s    tokens of prompts, cached ones included, over the time until the last answer',
  `/ ${BASE}   ratio of tokens/s, the product of: work (fewer FLOPs, by hits), hiding (less waiting while a batch is there), busy (less time without a batch)`,
  'hits        cached tokens over prompt tokens, as the engines had them',
  'max/mean    of the FLOPs of an engine',
  'below T     batches with fewer FLOPs than T when computed; fill: mean FLOPs of a batch over T',
  'exposed     of the ranks\' time: a pass is under way, but waits for experts, rows or other ranks; idle: no pass there',
  'MFU         FLOPs computed (not those that were cached) over time and peak',
  'outside     saturated batches whose load was not in [T, T + what the last request added); must be 0 (others than prefix and grouped know no T)',
  'us/request  of this computer, median over rounds: time of the scheduler for a request; all else is simulated',
];

export function describeRouter({ flags, config, workload }: RouterSetting): string[] {
  const { numHiddenLayers, hiddenSize, numExperts, numExpertsPerTok } = config;
  const longest = workload.prompts.reduce((most, { tokens }) => Math.max(most, tokens), 0);
  const caches = STRATEGY_KINDS[flags.strategy] === 'streaming';
  return [
    `workload ${workload.name}: ${formatCount(workload.prompts.length)} requests, ${formatCount(workload.tokens)} tokens, the longest ${formatCount(longest)}`,
    ...workload.assumptions.map((line) => `  ${line}`),
    `  at most ${formatPercent(bestHitRate(workload, BLOCK_TOKENS))} of the tokens can be cached (one engine that forgets nothing)`,
    `model ${flags.model}: ${numHiddenLayers} layers, hidden ${hiddenSize}, ${numExperts} experts, ${numExpertsPerTok} a token; hardware ${flags.hardware}`,
    `strategy ${flags.strategy}${caches ? '' : ': ranks compute every batch together, and have no prefix cache'}`,
    `  an engine: ${caches ? `cache of ${formatCount(flags.cacheTokens)} tokens (LRU), ` : ''}batches of at most ${formatCount(flags.batchTokens)} tokens to compute unless one prompt is longer, ${flags.maxWait} ms at most before a batch leaves, two under way`,
  ];
}

/** What the workload is for these engines, when nothing is cached. */
function workLine({ all, most }: { readonly all: number; readonly most: number }, { ranks, engines, flopsPerSecond }: Machine): string {
  const seconds = (flops: number): string => (flops / flopsPerSecond).toFixed(1);
  return `all prompts without a cache: ${(all / 1e15).toFixed(0)} PFLOP, ${seconds(all / ranks)} s of all engines at ${formatFlops((flopsPerSecond * ranks) / engines)} each; the longest prompt alone ${seconds((most * engines) / ranks)} s of one`;
}

const headOf = ({ engines, ranks }: Machine): string => (engines === ranks ? `${ranks} ${ranks === 1 ? 'engine' : 'engines'}` : `${ranks} ranks, one engine`);

/** Heading, arithmetic and table of one number of engines. */
export function worldText({ machine, rows }: RouterWorld, { config, workload }: RouterSetting): string {
  const timed = rows.some(({ figures }) => figures.latencyMs !== null);
  const columns = COLUMNS.filter((column) => timed || column.timed === undefined);
  const table = newTable(columns.map(({ head }) => head));
  for (const row of rows) table.push(columns.map(({ text }) => text(row)));
  const lines = [...machine.lines, workLine(workloadFlops(workload, config), machine)];
  return [headOf(machine), ...lines.map((line) => `  ${line}`), table.toString()].join('\n');
}

const CSV_FIELDS = [
  'engines', 'scheduler', 'tokensPerSecond', 'throughputOverBase', 'work', 'hiding', 'busy', 'hitRate', 'imbalance', 'batches', 'belowThreshold', 'meanFill',
  'computeShare', 'exposedShare', 'idleShare', 'mfu', 'latencyP50Ms', 'latencyP99Ms', 'outsideBound', 'flops', 'wallMs', 'requests', 'promptTokens',
] as const;

/** A line for each number of engines and scheduler; units as in {@link RouterFigures}. */
export const csvText = (worlds: readonly RouterWorld[]): string => csvOf(CSV_FIELDS, worlds.flatMap(({ rows }) => rows.map(({ scheduler, engines, figures, gain }) => {
  const { latencyMs, ...rest } = figures;
  return {
    ...rest, scheduler, engines, throughputOverBase: gain?.throughput ?? null, work: gain?.work ?? null, hiding: gain?.hiding ?? null, busy: gain?.busy ?? null,
    latencyP50Ms: latencyMs?.p50 ?? null, latencyP99Ms: latencyMs?.p99 ?? null,
  };
})));
