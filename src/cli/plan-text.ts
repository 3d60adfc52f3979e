/** The plan of `asyncep plan` for the terminal. */
import type { ModelConfig } from '../model/types.ts';
import { BATCH_TOKENS } from '../sim/plan/curves.ts';
import { USABLE_MEMORY } from '../sim/plan/memory.ts';
import type { Plan } from '../sim/plan/plan.ts';
import type { PlanSetting } from '../sim/plan/setting.ts';
import { countParameters, type ModelPreset } from '../sim/presets/models.ts';
import { formatCount, formatPercent } from './format.ts';
import type { TextTable } from './html-page.ts';
import { gigabytes, memoryTable, reachTable, strategyTable } from './plan-tables.ts';
import { prefixText } from './plan-units.ts';
import { newTable } from './table.ts';

/** A model of the presets, or of a folder. */
export interface PlannedModel extends Pick<ModelPreset, 'title' | 'config' | 'source' | 'cannotRun'> {
  readonly published: ModelPreset['published'] | null;
}

const milliseconds = (ms: number): string => `${Number(ms.toPrecision(3))} ms`;

function describeModel({ title, config, source, cannotRun }: PlannedModel): string[] {
  const { total, active } = countParameters(config);
  const { numHiddenLayers, hiddenSize, numExperts, numExpertsPerTok, moeIntermediateSize } = config;
  return [
    `model     ${title}: ${(total / 1e9).toFixed(1)} G parameters, ${(active / 1e9).toFixed(1)} G active; ${numHiddenLayers} layers, hidden ${hiddenSize}, ${numExperts} experts of ${moeIntermediateSize}, ${numExpertsPerTok} a token (${source})`,
    ...(cannotRun === null ? [] : [`          planned only, the engine does not run it: ${cannotRun}`]),
  ];
}

function describeMachine({ hardware, ranks, precision }: PlanSetting, { rates, usableBytes }: Plan): string[] {
  const { link, hostBytesPerSecond, peakFlopsPerSecond, achievedFlopsPerSecond, computedAs } = rates;
  const figures = [...Object.values(hardware.flopsPerSecond), hardware.mfu, hardware.memoryBytes, hardware.hostBytesPerSecond, ...(hardware.link === null ? [] : Object.values(hardware.link))];
  const estimates = figures.filter((figure) => figure?.kind === 'estimate').length;
  return [
    `machine   ${hardware.title}, ${ranks} of ${hardware.devices} ${hardware.devices === 1 ? 'device' : 'devices'} used: F = ${prefixText(peakFlopsPerSecond, 'FLOP/s')} (${computedAs}${computedAs === precision ? '' : `, for ${precision} weights`}), passes reach ${formatPercent(achievedFlopsPerSecond / peakFlopsPerSecond)} of it`,
    `          memory ${gigabytes(hardware.memoryBytes.value)} GB, ${USABLE_MEMORY} of it usable: ${gigabytes(usableBytes)} GB; link ${link === null ? 'none' : prefixText(link.bytesPerSecond, 'B/s')}, host link ${prefixText(hostBytesPerSecond, 'B/s')}, each direction`,
    `          ${estimates} of ${figures.length} figures are estimates; --json has the source of each`,
  ];
}

function describeTransfer({ gamma, ranks, offload }: PlanSetting, { transfer, rates, moeLayers }: Plan): string[] {
  const { layerBytes, gatherMs, hostMs, transferMs, slower, layerThreshold, batchThreshold } = transfer;
  const layer = `${gigabytes(layerBytes)} GB of experts a layer`;
  const gather = rates.link === null || ranks === 1 ? [] : [`gather    ${ranks - 1}/${ranks} x ${layer} / ${prefixText(rates.link.bytesPerSecond, 'B/s')} + ${milliseconds(rates.link.latencyMs)} = ${milliseconds(gatherMs)}`];
  const host = offload === 0 ? [] : [`host      1/${ranks} x ${layer} / ${prefixText(rates.hostBytesPerSecond, 'B/s')} = ${milliseconds(hostMs)}`];
  return [
    ...gather, ...host,
    `t_EP      ${milliseconds(transferMs)} (${slower})`,
    `T         of a layer t_EP x F x ${gamma} = ${prefixText(layerThreshold, 'FLOP')}; of a batch x ${moeLayers} MoE layers = ${prefixText(batchThreshold, 'FLOP')}`,
  ];
}

/** For the terminal. */
function drawn({ head, rows }: TextTable): string {
  const table = newTable([...head]);
  for (const row of rows) table.push([...row]);
  return table.toString();
}

/** What the columns are. */
export const LEGEND: readonly string[] = [
  'reach T     a batch of sequences of that length has T FLOPs; hide t_EP: its compute lasts as long as its transfers, at the rate that passes reach',
  'largest     by memory alone, with sequences as long as the workload\'s longest; longest context: one sequence a batch',
  'exposed     share of the time in which transfers were under way and the device had nothing to do; idle: neither; mean over devices',
  'sent MB     of a device when each has a batch, rows in 16 bits: by the paper\'s formulas, which count a dispatch for all tokens on every device; simulated: own tokens, once to each rank',
];

function describeWork({ config }: { readonly config: ModelConfig }, { work }: Plan): string[] {
  const { name, requests, tokens: all, meanTokens, longestTokens, batchTokens, batchReason } = work;
  return [
    `workload  ${name}: ${formatCount(requests)} requests, ${formatCount(all)} tokens, ${formatCount(meanTokens)} on average, the longest ${formatCount(longestTokens)}; batches of ${formatCount(batchTokens)} tokens (${batchReason})`,
    ...(longestTokens > config.maxPositionEmbeddings ? [`          longer than the model's ${formatCount(config.maxPositionEmbeddings)} positions: those take a rotary scaling such as YaRN`] : []),
  ];
}

/** Empty when there is nothing to overtake. */
export function crossOverLine({ crossOvers }: Pick<Plan, 'crossOvers'>): string[] {
  const parts = Object.entries(crossOvers).map(([strategy, from]) => `${strategy} ${from === null ? `never up to ${formatCount(BATCH_TOKENS.at(-1) as number)}` : from === BATCH_TOKENS[0] ? `${from} or fewer` : formatCount(from)}`);
  return parts.length === 0 ? [] : [`asyncep is predicted to be as fast, with batches of so many tokens, as: ${parts.join(', ')}`];
}

export function describeDevices({ fewestDevices: { asAsked, offloaded } }: Plan, { offload, hardware }: PlanSetting): string[] {
  const words = (count: number | null): string => (count === null ? `more devices than the ${hardware.devices} of the machine` : `${count} ${count === 1 ? 'device' : 'devices'}`);
  return [`asyncep takes ${words(asAsked)} for such batches${offload > 0 ? '' : `; with --offload 1, ${words(offloaded)}`}`];
}

/** What is planned, line by line. */
export const describePlan = (model: PlannedModel, setting: PlanSetting, plan: Plan): string[] =>
  [...describeModel(model), ...describeMachine(setting, plan), ...describeTransfer(setting, plan), ...describeWork(model, plan)];

/** Paragraphs and tables. */
export function planText(model: PlannedModel, setting: PlanSetting, plan: Plan): string {
  return [
    ...describePlan(model, setting, plan), '', drawn(reachTable(plan)), '', drawn(memoryTable(plan)), ...describeDevices(plan, setting),
    '', drawn(strategyTable(plan)), ...crossOverLine(plan), '', ...LEGEND,
  ].join('\n');
}
