/** The tables of a plan as text, for the terminal and for the page. */
import { BATCH_TOKENS } from '../sim/plan/curves.ts';
import { MOST_TOKENS, type DeviceMemory } from '../sim/plan/memory.ts';
import type { Plan } from '../sim/plan/plan.ts';
import { formatCount, formatPercent } from './format.ts';
import type { TextTable } from './html-page.ts';

export const NONE = '-';
export const orNone = (value: number | null | undefined, text: (value: number) => string): string => (value == null ? NONE : text(value));
export const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(1);
const tokens = (count: number): string => (count >= MOST_TOKENS ? `${formatCount(MOST_TOKENS)}+` : formatCount(count));

/** Parts of a device's memory, in the order in which they are shown. */
export const MEMORY_PARTS: readonly (readonly [part: keyof DeviceMemory, name: string])[] = [
  ['shared', 'shared'], ['firstLayer', 'first layer'], ['shard', 'experts'], ['slots', 'slots'], ['keysAndValues', 'KV'], ['workspace', 'workspace'],
];

/** T by context length. */
export const reachTable = ({ transfer: { reach, transferMs } }: Pick<Plan, 'transfer'>): TextTable => ({
  head: ['context', 't_EP ms', 'GFLOP a token', 'tokens reach T', 'tokens hide t_EP'],
  rows: reach.map(({ contextTokens, flopsPerToken, tokens: reached, hiddenTokens }) =>
    [formatCount(contextTokens), String(Number(transferMs.toPrecision(3))), (flopsPerToken / 1e9).toFixed(1), formatCount(reached), formatCount(hiddenTokens)]),
});

export const memoryTable = ({ strategies }: Pick<Plan, 'strategies'>): TextTable => ({
  head: ['GB a device', ...MEMORY_PARTS.map(([, name]) => name), 'sum', 'largest batch', 'longest context', 'fewest devices'],
  rows: strategies.map(({ strategy, memory, memoryBytes, largestBatchTokens, longestContextTokens, fewestDevices }) => [
    strategy, ...MEMORY_PARTS.map(([part]) => orNone(memory?.[part], gigabytes)), orNone(memoryBytes, gigabytes),
    orNone(largestBatchTokens, tokens), orNone(longestContextTokens, tokens), orNone(fewestDevices, String),
  ]),
});

export const strategyTable = ({ strategies }: Pick<Plan, 'strategies'>): TextTable => ({
  head: ['strategy', 'tokens/s', 'MFU', 'exposed', 'idle', 'sent MB a layer', 'simulated', 'collectives', 'fits'],
  rows: strategies.map(({ strategy, predicted, traffic, reason }) => {
    const share = (ms: number | undefined): string => (predicted === null || ms === undefined ? NONE : formatPercent(ms / predicted.wallMs));
    return [
      strategy, orNone(predicted?.tokensPerSecond, formatCount), orNone(predicted?.mfu, formatPercent), share(predicted?.exposedMs), share(predicted?.idleMs),
      formatCount(traffic.sentBytes / 1e6), orNone(predicted?.sentBytesPerLayer, (bytes) => formatCount(bytes / 1e6)),
      `${traffic.collectives}${traffic.sentBytes > 0 && !traffic.onPath ? ', off the path' : ''}`, reason ?? 'yes',
    ];
  }),
});

/** Tokens/s over the tokens of a batch. */
export const curveTable = ({ curves }: Pick<Plan, 'curves'>): TextTable => ({
  head: ['tokens of a batch', ...curves.map(({ strategy }) => strategy)],
  rows: BATCH_TOKENS.map((batch, i) => [formatCount(batch), ...curves.map(({ tokensPerSecond }) => formatCount(tokensPerSecond[i] as number))]),
});
