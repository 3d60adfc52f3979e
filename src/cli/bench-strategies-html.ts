/** The report of `bench strategies` as one page that needs nothing else: bars, table and arithmetic. */
import { BASELINES } from '../sim/run-shape.ts';
import type { StrategyFigures, WorldReport } from './bench-strategies-report.ts';
import type { Setting } from './bench-strategies-setting.ts';
import { arithmetic, COLUMNS, describeModel, describeWorkload, LEGEND } from './bench-strategies-text.ts';
import { formatCount } from './format.ts';
import { escapeHtml, htmlLines, htmlPageOf } from './html-page.ts';

const [LABELS, BARS, VALUES, ROW, BAR] = [90, 460, 170, 30, 18];

function bar(figures: StrategyFigures, index: number, scale: (tokensPerSecond: number) => number, tokens: number): string {
  const { strategy, kind: way, tokensPerSecond, predictedMs } = figures;
  const y = index * ROW;
  const label = `<text x="${LABELS - 8}" y="${y + 18}" text-anchor="end">${strategy}</text>`;
  if (tokensPerSecond === null || predictedMs === null) return `${label}<text x="${LABELS}" y="${y + 18}">cannot run</text>`;
  const width = scale(tokensPerSecond);
  const mark = LABELS + scale(tokens / (predictedMs / 1000));
  const kind = BASELINES.includes(way) ? 'base' : 'own';
  return [
    label,
    `<rect class="${kind}" x="${LABELS}" y="${y + 4}" width="${width.toFixed(1)}" height="${BAR}" rx="2"/>`,
    `<line class="mark" x1="${mark.toFixed(1)}" x2="${mark.toFixed(1)}" y1="${y + 1}" y2="${y + 25}"/>`,
    `<text x="${(Math.max(LABELS + width, mark) + 8).toFixed(1)}" y="${y + 18}">${formatCount(tokensPerSecond)}</text>`,
  ].join('');
}

/** Tokens per second: a bar for each strategy as measured, a mark as predicted. */
export function barChart({ ranks, figures }: WorldReport, tokens: number): string {
  const most = Math.max(1e-9, ...figures.flatMap(({ tokensPerSecond, predictedMs }) => (tokensPerSecond === null || predictedMs === null ? [] : [tokensPerSecond, tokens / (predictedMs / 1000)])));
  const scale = (tokensPerSecond: number): number => (tokensPerSecond / most) * BARS;
  const measured = figures.flatMap(({ strategy, tokensPerSecond }) => (tokensPerSecond === null ? [] : [`${strategy} ${formatCount(tokensPerSecond)}`]));
  return [
    `<svg viewBox="0 0 ${LABELS + BARS + VALUES} ${figures.length * ROW}" role="img" aria-labelledby="title-${ranks} text-${ranks}">`,
    `<title id="title-${ranks}">Tokens per second on ${ranks} ${ranks === 1 ? 'rank' : 'ranks'}</title>`,
    `<desc id="text-${ranks}">${escapeHtml(measured.join(', '))}</desc>`,
    ...figures.map((one, index) => bar(one, index, scale, tokens)),
    '</svg>',
  ].join('\n');
}

function figuresTable(world: WorldReport): string {
  const head = COLUMNS.map((column) => `<th scope="col">${escapeHtml(column.head)}</th>`).join('');
  const rows = world.figures.map((figures) => {
    const cells = COLUMNS.map(({ text }, index) => (index === 0 ? `<th scope="row">${escapeHtml(text(figures))}</th>` : `<td>${escapeHtml(text(figures))}</td>`));
    if (figures.reason === null) return `<tr>${cells.join('')}</tr>`;
    return `<tr>${cells[0]}<td colspan="${COLUMNS.length - 1}" style="text-align:left">cannot run: ${escapeHtml(figures.reason)}</td></tr>`;
  });
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>\n${rows.join('\n')}\n</tbody></table></div>`;
}

function worldSection(world: WorldReport, tokens: number): string {
  return [
    `<h2>${world.ranks} ${world.ranks === 1 ? 'rank' : 'ranks'}</h2>`,
    `<figure>${barChart(world, tokens)}<figcaption>Tokens per second: bars as measured (grey: baselines), marks as the cost model predicts.</figcaption></figure>`,
    figuresTable(world),
    htmlLines(arithmetic(world)),
  ].join('\n');
}

/** @param date of the run, shown as it is */
export function htmlPage(setting: Setting, worlds: readonly WorldReport[], date: string, adapters: readonly string[]): string {
  return htmlPageOf({
    title: 'asyncep: strategies compared', heading: 'Strategies compared',
    body: [
      `<p>${escapeHtml(describeModel(setting))}<br>${escapeHtml(describeWorkload(setting))}<br><span class="soft">${escapeHtml(`${adapters.join(' and ')}; ${date}; medians of ${setting.flags.repetitions} interleaved repetitions`)}</span></p>`,
      ...worlds.map((world) => worldSection(world, setting.workload.tokens)),
      `<h2>Columns</h2>\n${htmlLines(LEGEND)}`,
    ].join('\n'),
  });
}
