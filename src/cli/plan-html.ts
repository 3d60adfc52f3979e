/** A plan as one page that needs nothing else: pictures, and the tables that hold all their numbers. */
import { BATCH_TOKENS } from '../sim/plan/curves.ts';
import { usableBytes } from '../sim/plan/memory.ts';
import type { Plan } from '../sim/plan/plan.ts';
import type { PlanSetting } from '../sim/plan/setting.ts';
import { BASELINES, SIM_STRATEGIES, type SimStrategy } from '../sim/run-shape.ts';
import { barsOfParts, CHART_STYLE, chartKey, lineChart, type Bar, type Series } from './charts.ts';
import { formatCount, formatPercent } from './format.ts';
import { escapeHtml, htmlLines, htmlPageOf, htmlTable } from './html-page.ts';
import { curveTable, gigabytes, MEMORY_PARTS, memoryTable, reachTable, strategyTable } from './plan-tables.ts';
import { crossOverLine, describeDevices, describePlan, LEGEND, type PlannedModel } from './plan-text.ts';

const lookOf = (strategy: SimStrategy): number => SIM_STRATEGIES.indexOf(strategy);
const thousands = (value: number): string => (value >= 1024 ? `${value / 1024}K` : String(value));
/** `12345678` -> `12.3 M`. */
const short = (value: number): string => (value >= 1e6 ? `${Number((value / 1e6).toPrecision(3))} M` : value >= 1e3 ? `${Number((value / 1e3).toPrecision(3))} k` : String(Number(value.toPrecision(3))));

function speedChart({ strategies, work }: Plan): string {
  const bars = strategies.map(({ strategy, predicted }): Bar => ({
    name: strategy, label: predicted === null ? '' : `${formatCount(predicted.tokensPerSecond)}, MFU ${formatPercent(predicted.mfu)}`,
    parts: predicted === null ? 'is not possible, see the table' : [{ look: lookOf(BASELINES.includes(strategy) ? 'resident' : 'asyncep'), value: predicted.tokensPerSecond }],
  }));
  const description = strategies.flatMap(({ strategy, predicted }) => (predicted === null ? [] : [`${strategy} ${formatCount(predicted.tokensPerSecond)}`])).join(', ');
  const chart = barsOfParts({ id: 'speed', title: `Tokens per second of all devices, workload ${work.name}`, description: description || 'nothing fits', bars });
  return `<figure>${chart}<figcaption>Tokens per second of all devices together, predicted for the workload; grey: rows travel instead of weights.</figcaption></figure>`;
}

/** How much longer than what is usable a bar may be. */
const BEYOND = 1.5;

function memoryChart(plan: Plan, setting: PlanSetting): string {
  const usable = usableBytes(setting);
  const bars = plan.strategies.map(({ strategy, memory, memoryBytes }): Bar => ({
    name: strategy, label: memoryBytes === null ? '' : `${gigabytes(memoryBytes)} GB${memoryBytes > BEYOND * usable ? ', cut here' : ''}`,
    parts: memory === null ? 'cannot be split so' : MEMORY_PARTS.map(([part], look) => ({ look, value: memory[part] })),
  }));
  const description = plan.strategies.map(({ strategy, memoryBytes }) => `${strategy} ${memoryBytes === null ? 'cannot be split so' : `${gigabytes(memoryBytes)} GB`}`).join(', ');
  const chart = barsOfParts({
    id: 'memory', title: `Memory of a device by part, ${gigabytes(usable)} GB usable`, description, bars, most: BEYOND * usable, limit: { name: `usable ${gigabytes(usable)} GB`, value: usable },
  });
  return `<figure>${chart}${chartKey(MEMORY_PARTS.map(([, name], look): Series => ({ name, look })), 'parts')}<figcaption>Memory of the fullest device with the workload's batches.</figcaption></figure>`;
}

/** Contexts of the threshold's picture: of the table's nine every other one from the second. */
const CONTEXT_STEP = 2;

/** Where compute of a layer begins to hide its transfers, and what T asks for. */
function thresholdChart({ transfer, rates, moeLayers }: Plan, { gamma, config }: PlanSetting): string {
  const { reach, transferMs } = transfer;
  if (transferMs === 0) return '<p>Nothing travels: one device holds everything, and every batch reaches T.</p>';
  const layerMs = (tokens: number, flopsPerToken: number): number => ((tokens * flopsPerToken) / config.numHiddenLayers / rates.achievedFlopsPerSecond) * 1000;
  const shown = reach.filter((_, i) => i % CONTEXT_STEP === 0);
  const lines = shown.map(({ contextTokens, flopsPerToken }, look) =>
    ({ name: `context ${thousands(contextTokens)}`, look, values: BATCH_TOKENS.map((tokens) => layerMs(tokens, flopsPerToken)) }));
  const thresholdMs = (transfer.batchThreshold / moeLayers / rates.achievedFlopsPerSecond) * 1000;
  const dots = shown.flatMap(({ contextTokens, hiddenTokens, flopsPerToken }, look) => (hiddenTokens < (BATCH_TOKENS[0] as number) || hiddenTokens > (BATCH_TOKENS.at(-1) as number) ? []
    : [{ look, x: hiddenTokens, y: layerMs(hiddenTokens, flopsPerToken), name: `context ${thousands(contextTokens)}: hidden from ${formatCount(hiddenTokens)} tokens` }]));
  const chart = lineChart({
    id: 'threshold', title: 'Compute time of a layer against t_EP, over the tokens of a batch',
    description: reach.map(({ contextTokens, hiddenTokens, tokens }) => `context ${thousands(contextTokens)}: t_EP is hidden from ${formatCount(hiddenTokens)} tokens, T reached from ${formatCount(tokens)}`).join('; '),
    x: { label: 'tokens of a device\'s batch', values: BATCH_TOKENS, text: thousands }, y: { label: 'milliseconds a layer', logarithmic: true, text: short }, lines, dots,
    limits: [{ name: `t_EP ${Number(transferMs.toPrecision(3))} ms`, y: transferMs }, { name: `T: ${gamma} t_EP at the peak, ${Number(thresholdMs.toPrecision(3))} ms as passes compute`, y: thresholdMs }],
  });
  return `<figure>${chart}${chartKey(lines, 'lines')}<figcaption>Above t_EP a batch's compute hides its transfers (dots); above T it does so even at the peak rate, with ${gamma} times as much to spare. Longer contexts have more FLOPs a token and get there with fewer tokens.</figcaption></figure>`;
}

function curveChart({ curves, crossOvers, strategies, work }: Plan): string {
  const shown = curves.filter(({ strategy }) => strategy !== 'resident');
  const lines = shown.map(({ strategy, tokensPerSecond }) => {
    const fits = strategies.find((one) => one.strategy === strategy)?.reason === null;
    return { name: fits ? strategy : `${strategy} (does not fit as planned)`, look: lookOf(strategy), values: tokensPerSecond };
  });
  if (lines.length === 0) return '';
  const dots = Object.entries(crossOvers).flatMap(([strategy, from]) => {
    const curve = curves.find((one) => one.strategy === strategy);
    if (curve === undefined || from === null || from <= (BATCH_TOKENS[0] as number)) return [];
    return [{ look: lookOf(curve.strategy), x: from, y: onCurve(curve.tokensPerSecond, from), name: `asyncep is as fast as ${strategy} from ${formatCount(from)} tokens` }];
  });
  const chart = lineChart({
    id: 'curves', title: 'Tokens per second over the tokens of a batch', description: crossOverLine({ crossOvers })[0] ?? lines.map(({ name }) => name).join(', '),
    x: { label: 'tokens of a device\'s batch', values: BATCH_TOKENS, text: thousands }, y: { label: 'tokens/s of all devices', logarithmic: false, text: short }, lines, dots,
  });
  return `<figure>${chart}${chartKey(lines, 'lines')}<figcaption>Equal sequences of about ${formatCount(work.meanTokens)} tokens, the workload's mean. Dots: from there on asyncep is as fast as that strategy.</figcaption></figure>`;
}

/** Between the points of a curve, in a straight line on the logarithmic axis. */
function onCurve(values: readonly number[], tokens: number): number {
  const after = Math.min(BATCH_TOKENS.length - 1, Math.max(1, BATCH_TOKENS.findIndex((batch) => batch >= tokens)));
  const [left, right] = [BATCH_TOKENS[after - 1] as number, BATCH_TOKENS[after] as number];
  const share = Math.log(tokens / left) / Math.log(right / left);
  return (values[after - 1] as number) * (1 - share) + (values[after] as number) * share;
}

/** The whole page. */
export function planHtml(model: PlannedModel, setting: PlanSetting, plan: Plan): string {
  const { hardware, ranks, precision } = setting;
  const paragraph = (lines: readonly string[]): string => lines.map((line) => `<p>${escapeHtml(line)}</p>`).join('');
  return htmlPageOf({
    title: `asyncep plan: ${model.title} on ${hardware.title}`, heading: `${model.title} on ${hardware.title}, ${ranks} ${ranks === 1 ? 'device' : 'devices'}, ${precision}`, style: CHART_STYLE,
    body: [
      '<p class="soft">Predicted by the cost model from data sheets; nothing was measured, unless a bench is named below.</p>',
      htmlLines(describePlan(model, setting, plan)),
      '<h2>Strategies</h2>', speedChart(plan), htmlTable(strategyTable(plan), 'Strategies: predictions and traffic'),
      '<h2>Memory</h2>', memoryChart(plan, setting), htmlTable(memoryTable(plan), 'Gigabytes of a device by part, and the largest batches'), paragraph(describeDevices(plan, setting)),
      '<h2>The threshold T</h2>', thresholdChart(plan, setting), htmlTable(reachTable(plan), 't_EP, T and the tokens that reach it, by context length'),
      ...(plan.curves.length === 0 ? [] : [
        '<h2>Where strategies cross</h2>', curveChart(plan), paragraph(crossOverLine(plan)), htmlTable(curveTable(plan), 'Tokens per second by the tokens of a batch, whether or not they fit'),
      ]),
      '<h2>Columns</h2>', htmlLines(LEGEND),
    ].join('\n'),
  });
}
