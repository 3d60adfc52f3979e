/** The plan of `asyncep plan` for the terminal. */
import type { ModelConfig } from '../model/types.ts';
import { MOST_TOKENS, USABLE_MEMORY, type DeviceMemory } from '../sim/plan/memory.ts';
import type { Plan } from '../sim/plan/plan.ts';
import type { PlanSetting } from '../sim/plan/setting.ts';
import { countParameters, type ModelPreset } from '../sim/presets/models.ts';
import { formatCount, formatPercent } from './format.ts';
import { prefixText } from './plan-units.ts';
import { newTable } from './table.ts';

/** A model of the presets, or of a folder. */
export interface PlannedModel extends Pick<ModelPreset, 'title' | 'config' | 'source' | 'cannotRun'> {
  readonly published: ModelPreset['published'] | null;
}

const NONE = '-';
const orNone = (value: number | null | undefined, text: (value: number) => string): string => (value == null ? NONE : text(value));
const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(1);
const milliseconds = (ms: number): string => `${Number(ms.toPrecision(3))} ms`;
const tokens = (count: number): string => (count >= MOST_TOKENS ? `${formatCount(MOST_TOKENS)}+` : formatCount(count));

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

function reachTable({ transfer: { reach } }: Plan): string {
  const table = newTable(['context', 'GFLOP a token', 'tokens reach T', 'tokens hide t_EP']);
  for (const { contextTokens, flopsPerToken, tokens: reached, hiddenTokens } of reach) {
    table.push([formatCount(contextTokens), (flopsPerToken / 1e9).toFixed(1), formatCount(reached), formatCount(hiddenTokens)]);
  }
  return table.toString();
}

const MEMORY_PARTS: readonly (readonly [keyof DeviceMemory, string])[] = [
  ['shared', 'shared'], ['firstLayer', 'first layer'], ['shard', 'experts'], ['slots', 'slots'], ['keysAndValues', 'KV'], ['workspace', 'workspace'],
];

function memoryTable({ strategies }: Plan): string {
  const table = newTable(['GB a device', ...MEMORY_PARTS.map(([, head]) => head), 'sum', 'largest batch', 'longest context', 'fewest devices']);
  for (const { strategy, memory, memoryBytes, largestBatchTokens, longestContextTokens, fewestDevices } of strategies) {
    table.push([
      strategy, ...MEMORY_PARTS.map(([part]) => orNone(memory?.[part], gigabytes)), orNone(memoryBytes, gigabytes),
      orNone(largestBatchTokens, tokens), orNone(longestContextTokens, tokens), orNone(fewestDevices, String),
    ]);
  }
  return table.toString();
}

function strategyTable({ strategies }: Plan): string {
  const table = newTable(['strategy', 'tokens/s', 'MFU', 'exposed', 'idle', 'sent MB a layer', 'simulated', 'collectives', 'fits']);
  for (const { strategy, predicted, traffic, reason } of strategies) {
    const share = (ms: number | undefined): string => (predicted === null || ms === undefined ? NONE : formatPercent(ms / predicted.wallMs));
    table.push([
      strategy, orNone(predicted?.tokensPerSecond, formatCount), orNone(predicted?.mfu, formatPercent), share(predicted?.exposedMs), share(predicted?.idleMs),
      formatCount(traffic.sentBytes / 1e6), orNone(predicted?.sentBytesPerLayer, (bytes) => formatCount(bytes / 1e6)), `${traffic.collectives}${traffic.sentBytes > 0 && !traffic.onPath ? ', off the path' : ''}`, reason ?? 'yes',
    ]);
  }
  return table.toString();
}

const LEGEND: readonly string[] = [
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

function crossOverLine({ crossOvers }: Plan): string[] {
  const parts = Object.entries(crossOvers).map(([strategy, from]) => `${strategy} ${from === null ? 'never up to 131,072' : formatCount(from)}`);
  return parts.length === 0 ? [] : [`asyncep is predicted to be as fast, with batches of so many tokens, as: ${parts.join(', ')}`];
}

function describeDevices({ fewestDevices: { asAsked, offloaded } }: Plan, { offload, hardware }: PlanSetting): string[] {
  const words = (count: number | null): string => (count === null ? `more devices than the ${hardware.devices} of the machine` : `${count} ${count === 1 ? 'device' : 'devices'}`);
  return [`asyncep takes ${words(asAsked)} for such batches${offload > 0 ? '' : `; with --offload 1, ${words(offloaded)}`}`];
}

/** Paragraphs and tables. */
export function planText(model: PlannedModel, setting: PlanSetting, plan: Plan): string {
  return [
    ...describeModel(model), ...describeMachine(setting, plan), ...describeTransfer(setting, plan), ...describeWork(model, plan),
    '', reachTable(plan), '', memoryTable(plan), ...describeDevices(plan, setting),
    '', strategyTable(plan), ...crossOverLine(plan), '', ...LEGEND,
  ].join('\n');
}
