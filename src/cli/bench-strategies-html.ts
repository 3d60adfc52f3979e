/** The report of `bench strategies` as one page that needs nothing else: bars, table and arithmetic. */
import { BASELINES } from '../sim/run-shape.ts';
import type { StrategyFigures, WorldReport } from './bench-strategies-report.ts';
import type { Setting } from './bench-strategies-setting.ts';
import { arithmetic, COLUMNS, describeModel, describeWorkload, LEGEND } from './bench-strategies-text.ts';
import { formatCount } from './format.ts';

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', '\'': '&#39;' };
const escape = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] as string);

const STYLE = `
:root { color-scheme: light dark; --page: #ffffff; --ink: #1a1c20; --soft: #5c626e; --line: #d5d9e0; --own: #1668b8; --base: #9aa5b5; --mark: #b8480c; }
@media (prefers-color-scheme: dark) { :root { --page: #16181c; --ink: #eceef2; --soft: #a3abb8; --line: #3a3f48; --own: #5aa9f2; --base: #69748a; --mark: #ffa45c; } }
body { margin: 2rem auto; max-width: 88rem; padding: 0 1rem; background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
.soft, figcaption { color: var(--soft); }
figure { margin: 1rem 0; } svg { width: 100%; max-width: 52rem; height: auto; } svg text { font-size: 13px; fill: var(--ink); }
.own { fill: var(--own); } .base { fill: var(--base); } .mark { stroke: var(--mark); stroke-width: 3; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
table { font-size: .92rem; } th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; } th:first-child, td:first-child { text-align: left; }
pre { overflow-x: auto; padding: .7rem 1rem; border: 1px solid var(--line); border-radius: .4rem; font-size: .85rem; }
`;

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
    `<desc id="text-${ranks}">${escape(measured.join(', '))}</desc>`,
    ...figures.map((one, index) => bar(one, index, scale, tokens)),
    '</svg>',
  ].join('\n');
}

function figuresTable(world: WorldReport): string {
  const head = COLUMNS.map((column) => `<th scope="col">${escape(column.head)}</th>`).join('');
  const rows = world.figures.map((figures) => {
    const cells = COLUMNS.map(({ text }, index) => (index === 0 ? `<th scope="row">${escape(text(figures))}</th>` : `<td>${escape(text(figures))}</td>`));
    if (figures.reason === null) return `<tr>${cells.join('')}</tr>`;
    return `<tr>${cells[0]}<td colspan="${COLUMNS.length - 1}" style="text-align:left">cannot run: ${escape(figures.reason)}</td></tr>`;
  });
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>\n${rows.join('\n')}\n</tbody></table></div>`;
}

function worldSection(world: WorldReport, tokens: number): string {
  return [
    `<h2>${world.ranks} ${world.ranks === 1 ? 'rank' : 'ranks'}</h2>`,
    `<figure>${barChart(world, tokens)}<figcaption>Tokens per second: bars as measured (grey: baselines), marks as the cost model predicts.</figcaption></figure>`,
    figuresTable(world),
    `<pre>${escape(arithmetic(world).join('\n'))}</pre>`,
  ].join('\n');
}

/** @param date of the run, shown as it is */
export function htmlPage(setting: Setting, worlds: readonly WorldReport[], date: string, adapters: readonly string[]): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>asyncep: strategies compared</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Strategies compared</h1>
<p>${escape(describeModel(setting))}<br>${escape(describeWorkload(setting))}<br><span class="soft">${escape(`${adapters.join(' and ')}; ${date}; medians of ${setting.flags.repetitions} interleaved repetitions`)}</span></p>
${worlds.map((world) => worldSection(world, setting.workload.tokens)).join('\n')}
<h2>Columns</h2>
<pre>${escape(LEGEND.join('\n'))}</pre>
</body>
</html>
`;
}
