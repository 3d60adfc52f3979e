/** The comparison as tables. */
import { formatFlops, formatPercent } from '../../src/cli/format.ts';
import { newTable } from '../../src/cli/table.ts';
import type { Overheads } from '../../src/sim/overheads.ts';
import { LIMITS, summarizeErrors, type Cell, type Comparison, type WorldRate } from './compare.ts';
import { FITTED_TO, isFitted } from './fit.ts';
import { linkText } from './shapes.ts';

const signed = (value: number): string => `${value > 0 ? '+' : ''}${formatPercent(value)}`;
const orNone = (value: number | null): string => (value === null ? '-' : formatPercent(value));

function ratesTable(rates: readonly WorldRate[]): string {
  const table = newTable(['model', 'ranks', 'link', 'rate of a rank', 'noise', 'others']);
  for (const { model, ranks, link, flopsPerSecond, residentSpread, othersShare } of rates) {
    table.push([model, ranks, linkText(link), formatFlops(flopsPerSecond), formatPercent(residentSpread), orNone(othersShare)]);
  }
  return table.toString();
}

function cellsTable(cells: readonly Cell[]): string {
  const table = newTable(['model', 'ranks', 'link', 'strategy', 'measured ms', 'predicted ms', 'error', 'spread']);
  for (const { model, ranks, link, strategy, measuredMs, predictedMs, error, spread } of cells) {
    table.push([model, ranks, link, strategy, measuredMs.toFixed(0), predictedMs.toFixed(0), signed(error), formatPercent(spread)]);
  }
  return table.toString();
}

function errorsTable(cells: readonly Cell[]): string {
  const table = newTable(['absolute error', 'cells', 'median', '90th percentile', 'worst']);
  const groups: [string, (cell: Cell) => boolean][] = [
    ...[...new Set(cells.map(({ strategy }) => strategy))].map((name): [string, (cell: Cell) => boolean] => [name, ({ strategy }) => strategy === name]),
    ...[...new Set(cells.map(({ ranks }) => ranks))].map((count): [string, (cell: Cell) => boolean] => [`${count} ${count === 1 ? 'rank' : 'ranks'}`, ({ ranks }) => ranks === count]),
    [`fitted to (${FITTED_TO})`, isFitted],
    ['predicted', (cell) => !isFitted(cell)],
    ['all', () => true],
  ];
  for (const [name, holds] of groups) {
    const some = cells.filter(holds);
    if (some.length === 0) continue;
    const { median, p90, worst } = summarizeErrors(some);
    table.push([name, some.length, ...[median, p90, worst].map(formatPercent)]);
  }
  return table.toString();
}

export const LEGEND: readonly string[] = [
  'rate       of the kernels in a pass, of one rank: at it resident is predicted as it was measured, in this world; all other strategies of the world are predicted from it',
  'noise      largest less smallest repetition of resident, over the median',
  'others     of all cores\' time, what other programs and the neighbours of a virtual machine took during the runs, median',
  'measured   median over the repetitions of the ratio to resident in the same repetition, times the median of resident',
  'spread     largest less smallest of these ratios, over their median',
];

function verdict(cells: readonly Cell[]): string {
  const { median, worst } = summarizeErrors(cells);
  const beyond = cells.filter(({ error }) => Math.abs(error) > LIMITS.worst).length;
  const says = median <= LIMITS.median && worst <= LIMITS.worst ? 'yes' : `NO, ${beyond} of ${cells.length} cells are further off`;
  return `median error at most ${formatPercent(LIMITS.median)}, worst at most ${formatPercent(LIMITS.worst)}: ${says}`;
}

function overheadsText(overheads: Overheads | null): string {
  if (overheads === null) return `overheads: none, because nothing was measured of ${FITTED_TO}`;
  const { layerMs = 0, exchangeMs = 0, messageMs = 0, noticeMs = 0, copyBytesPerSecond = Infinity, jitter = 0 } = overheads;
  return [
    `overheads, fitted to ${FITTED_TO}:`,
    `  ${layerMs} ms of a rank for a layer of a pass, beside its FLOPs`,
    `  ${exchangeMs} ms of a rank for an exchange of rows`,
    `  ${messageMs} ms of a rank for each peer in it`,
    `  ${noticeMs} ms until rows are noticed at the other end, beside the latency of the link`,
    `  ${(copyBytesPerSecond / 1e9).toFixed(2)} GB/s at which a rank packs and unpacks rows, and copies experts to a slot`,
    `  ${formatPercent(jitter)} standard deviation of the time of a compute step`,
  ].join('\n');
}

/** @param overheads that the predictions are made with; null: none */
export const comparisonText = ({ rates, cells }: Comparison, overheads: Overheads | null): string =>
  [overheadsText(overheads), ratesTable(rates), cellsTable(cells), errorsTable(cells), verdict(cells), '', ...LEGEND].join('\n');
