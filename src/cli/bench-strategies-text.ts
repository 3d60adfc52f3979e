/** The report of `bench strategies` as a table for the terminal, and as CSV. */
import { formatLink } from '../collective/link.ts';
import type { Overheads } from '../sim/overheads.ts';
import type { StrategyFigures, WorldReport } from './bench-strategies-report.ts';
import type { Setting } from './bench-strategies-setting.ts';
import { csvOf } from './csv.ts';
import { formatBytes, formatCount, formatFlops, formatPercent } from './format.ts';
import { newTable } from './table.ts';

/** One column: its head, and how a cell is written for people. */
export interface Column {
  readonly head: string;
  readonly text: (figures: StrategyFigures) => string;
}

const NONE = '-';
const orNone = (value: number | null, text: (value: number) => string): string => (value === null ? NONE : text(value));

/** 2e-7 and the like as they are, nothing at all as 0. */
const distanceText = (value: number): string => (value === 0 ? 'equal' : value.toExponential(1));

export const COLUMNS: readonly Column[] = [
  { head: 'strategy', text: ({ strategy }) => strategy },
  { head: 'tokens/s', text: ({ tokensPerSecond }) => orNone(tokensPerSecond, formatCount) },
  { head: 'speed-up', text: ({ speedUp }) => orNone(speedUp, (value) => value.toFixed(2)) },
  { head: 'MFU', text: ({ mfu }) => orNone(mfu, formatPercent) },
  { head: 'transfer ms', text: ({ transferMs }) => orNone(transferMs, formatCount) },
  { head: 'exposed ms', text: ({ exposedMs }) => orNone(exposedMs, formatCount) },
  { head: 'overlap', text: ({ overlapEfficiency }) => orNone(overlapEfficiency, formatPercent) },
  { head: 'sent MB', text: ({ sentBytesPerRankLayer }) => orNone(sentBytesPerRankLayer, (value) => (value / 1e6).toFixed(2)) },
  { head: 'memory', text: ({ deviceBytes }) => orNone(deviceBytes, formatBytes) },
  { head: 'imbalance', text: ({ expertImbalance }) => orNone(expertImbalance, (value) => value.toFixed(2)) },
  { head: 'seconds', text: ({ wallMs }) => orNone(wallMs, (value) => (value / 1000).toFixed(2)) },
  { head: 'predicted', text: ({ predictedMs }) => orNone(predictedMs, (value) => (value / 1000).toFixed(2)) },
  { head: 'error', text: ({ predictionError }) => orNone(predictionError, (value) => `${value > 0 ? '+' : ''}${formatPercent(value)}`) },
  { head: 'agrees', text: ({ reason, distance }) => (reason !== null ? NONE : orNone(distance, distanceText)) },
];

/** What the columns mean, a line each. */
export const LEGEND: readonly string[] = [
  'speed-up    over the fastest of ep, dp-tp, tp-ep, tp and pp',
  'MFU         true FLOPs over time and the measured matmul rate of all ranks',
  'transfer    bytes were on their way to or from a rank; exposed: and its device had nothing to do; overlap = 1 - exposed / transfer; mean over ranks',
  'sent MB     per rank and layer, for the whole workload',
  'memory      of the device, on the fullest rank',
  'imbalance   most over mean of the (token, expert) pairs of a rank, where experts are split by index',
  'predicted   seconds by the cost model',
  'agrees      largest relative L2 distance of a prompt\'s logits from those of the first strategy; rows in 16 bits on the wire may make a router choose other experts',
];

/** `mixed: 1,172 requests, 32,768 tokens ...`. */
export function describeWorkload({ workload, prompts }: Setting): string {
  const { name, tokens, contextFactor, requestFactor } = workload;
  const longest = prompts.reduce((most, { length }) => Math.max(most, length), 0);
  const scaled = contextFactor === 1 && requestFactor === 1 ? '' : `; the paper's contexts divided by ${Number(contextFactor.toPrecision(4))}, its numbers of requests by ${Number(requestFactor.toPrecision(4))}`;
  return `workload ${name}: ${formatCount(workload.requests.length)} requests, ${formatCount(tokens)} tokens, the longest ${formatCount(longest)}${scaled}`;
}

export function describeModel({ model: { config }, flags, weightBytes }: Setting): string {
  const { numHiddenLayers, hiddenSize, numExperts, numExpertsPerTok, moeIntermediateSize } = config;
  return `model ${flags.model}: ${numHiddenLayers} layers, hidden ${hiddenSize}, ${numExperts} experts of ${moeIntermediateSize}, ${numExpertsPerTok} a token, ${weightBytes} bytes a weight; batches of ${formatCount(flags.batchTokens)} tokens, rows on the wire ${flags.wire}, dispatch per ${flags.dispatch}`;
}

/** Those of software adapters (src/sim/presets/software-overheads.ts). */
const overheadsLine = ({ layerMs = 0, exchangeMs = 0, messageMs = 0, noticeMs = 0, copyBytesPerSecond = Infinity }: Overheads): string =>
  `predictions count, beside FLOPs and the link: ${layerMs} ms a layer of a pass, ${exchangeMs} ms an exchange of rows and ${messageMs} ms for each peer in it, ${noticeMs} ms until rows are noticed, copies at ${(copyBytesPerSecond / 1e9).toFixed(2)} GB/s (npm run bench:calibration)`;

/** The arithmetic behind the figures of one number of ranks. */
export function arithmetic({ ranks, matmulFlopsPerSecond, kernelFlopsPerSecond, calibratedBy, overheads, processors, link, linkLines, interleaved, gatherMs, threshold, crossOvers }: WorldReport): string[] {
  const known = Object.entries(crossOvers).map(([strategy, tokens]) => `${strategy} ${tokens === null ? 'not up to 128K' : formatCount(tokens)}`);
  return [
    `F = ${formatFlops(matmulFlopsPerSecond)} a rank (measured matmul rate); kernels in a pass: ${formatFlops(kernelFlopsPerSecond)} a rank (from ${calibratedBy})`,
    ...(overheads === null ? [] : [overheadsLine(overheads)]),
    ...(processors >= ranks ? [] : [`${ranks} ranks share ${processors === 1 ? 'one device or core' : `${processors} devices or cores`}: one rank's pause is another's gain, which favours strategies whose ranks wait`]),
    ...linkLines,
    ...(link === null ? [] : [`link of each rank: ${formatLink({ ...link, bytesPerSecond: Number(link.bytesPerSecond.toPrecision(4)) })}`]),
    ...(gatherMs === null || threshold === null ? [] : [
      `t_EP = ${gatherMs.toFixed(1)} ms (slowest gather of a layer at warm-up); T_batch = L_moe t_EP F 1.2 = ${(threshold / 1e9).toFixed(2)} GFLOP`,
    ]),
    ...(known.length === 0 ? [] : [`asyncep overtakes, by the cost model, with batches of so many tokens: ${known.join(', ')}`]),
    ...(interleaved ? [] : [`${ranks} ranks: strategies ran one after another, not interleaved`]),
  ];
}

/** Heading, arithmetic, table and reasons of one number of ranks. */
export function worldText(world: WorldReport): string {
  const table = newTable(COLUMNS.map(({ head }) => head));
  const reasons: string[] = [];
  for (const figures of world.figures) {
    table.push(COLUMNS.map(({ text }) => text(figures)));
    if (figures.reason !== null) reasons.push(`${figures.strategy} cannot run: ${figures.reason}`);
  }
  return [`${world.ranks} ${world.ranks === 1 ? 'rank' : 'ranks'}`, ...arithmetic(world).map((line) => `  ${line}`), table.toString(), ...reasons].join('\n');
}

const CSV_FIELDS = [
  'ranks', 'strategy', 'tokensPerSecond', 'speedUp', 'mfu', 'transferMs', 'exposedMs', 'overlapEfficiency', 'sentBytesPerRankLayer', 'deviceBytes',
  'expertImbalance', 'wallMs', 'predictedMs', 'predictionError', 'distance', 'reason',
] as const satisfies readonly (keyof StrategyFigures)[];

/** A line for each strategy and number of ranks, fields named and in units as in {@link StrategyFigures}. */
export const csvText = (worlds: readonly WorldReport[]): string => csvOf(CSV_FIELDS, worlds.flatMap(({ figures }) => figures));
