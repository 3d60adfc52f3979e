/** What `bench:scale` prints. */
import Table from 'cli-table3';
import { totalBytes } from '../src/sim/plan/memory.ts';
import { arrangementName, DGX_H100, nodesOf, ranksInStep, worldSize } from '../src/sim/topology.ts';
import { arrangementOf, BATCH_TOKENS, CONTEXT_TOKENS, planOf } from './scale-setting.ts';
import type { Measured, ScaleSpec } from './scale-spec.ts';
import type { SpeedResult } from './scale-speed.ts';
import type { StudyResult } from './scale-study.ts';
import { LONG_BATCH_TOKENS, suits, WAYS, type ScaleFlags, type TableName } from './scale-tables.ts';

export const TITLES: Readonly<Record<TableName, (flags: ScaleFlags) => string>> = {
  speed: () => 'what the simulator takes: every layer of every batch a step of compute and one of transfer, the router\'s own code, a process for each run',
  plan: ({ slowGbits, networkGbits }) => `before anything is run: ${networkGbits} and ${slowGbits} Gbit/s for each device; tokens are of prompts of ${CONTEXT_TOKENS}; a batch of ${BATCH_TOKENS.toLocaleString('en-US')} tokens in memory`,
  weak: ({ requestsPerRank, scheduler }) => `weak scaling: ${whole(requestsPerRank)} requests a rank, ${scheduler}`,
  strong: ({ requests, scheduler }) => `strong scaling: about ${whole(requests)} requests, ${scheduler}`,
  network: ({ slowGbits }) => `a slower network: ${slowGbits} Gbit/s for each device`,
  batches: ({ networkGbits, slowGbits }) => `batches of up to ${whole(LONG_BATCH_TOKENS)} tokens, ${networkGbits} and ${slowGbits} Gbit/s`,
  even: () => 'requests of one length, nothing shared (4,096 tokens, the paper\'s "medium")',
  schedulers: () => 'what the router does with so many engines, replicas of 8',
  latency: () => 'requests come evenly, half of what all ranks compute',
};

const whole = (value: number): string => Math.round(value).toLocaleString('en-US');
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const gb = (bytes: number): string => (bytes / 1e9).toFixed(1);
const seconds = (ms: number): string => (ms / 1000).toFixed(ms < 10_000 ? 2 : 0);

const tableOf = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const table = new Table({ head: [...head], style: { head: [], border: [], compact: true }, colAligns: head.map((_, i) => (i === 0 ? 'left' : 'right')) });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
};

const nameOf = (spec: Pick<ScaleSpec, 'arrangement' | 'worldRanks' | 'ranks'>): string => arrangementName(arrangementOf(spec));

/** t_EP, T and memory of every arrangement, with links of both rates. */
export function planTable({ ranks, networkGbits, slowGbits }: ScaleFlags): string {
  const rows = ranks.flatMap((count) => WAYS.filter((way) => suits(way, count)).map((way) => {
    const spec = { ...way, ranks: count };
    const arrangement = arrangementOf(spec);
    const [plan, slow] = [planOf({ ...spec, networkGbits }), planOf({ ...spec, networkGbits: slowGbits })];
    const [offloaded, nodes] = [planOf({ ...spec, networkGbits }, 1), nodesOf(DGX_H100)];
    return [
      nameOf(spec), whole(count), whole(ranksInStep(arrangement, nodes)), plan.transferMs.toFixed(2), slow.transferMs.toFixed(2), whole(plan.thresholdTokens), whole(plan.hiddenTokens), whole(slow.hiddenTokens),
      `1/${worldSize(arrangement)}`, gb(totalBytes(plan.memory)), whole(plan.roomTokens), offloaded.transferMs.toFixed(2), gb(offloaded.memoryBytes),
    ];
  }));
  return tableOf([
    'arrangement', 'ranks', 'in step', 't_EP, ms', `at ${slowGbits}`, 'T, tokens', 'hidden from', `at ${slowGbits}`, 'experts', 'GB', 'room, tokens', 'offload: t_EP', 'GB',
  ], rows);
}

export type Answer<R> = R & Measured;

/** Least squares of log(CPU time) over log(events): 1 is linear. */
export function slopeOf(points: readonly { readonly events: number; readonly cpuSeconds: number }[]): number {
  const logs = points.map(({ events, cpuSeconds }) => [Math.log(events), Math.log(cpuSeconds)] as const);
  const mean = (of: (point: readonly [number, number]) => number): number => logs.reduce((sum, point) => sum + of(point), 0) / logs.length;
  const [x, y] = [mean(([events]) => events), mean(([, took]) => took)];
  return mean((point) => (point[0] - x) * (point[1] - y)) / mean((point) => (point[0] - x) ** 2);
}

export function speedTable(specs: readonly ScaleSpec[], results: readonly Answer<SpeedResult>[]): string {
  const rows = results.map(({ events, batches, wallMs, seconds: took, cpuSeconds, peakBytes }, i) => {
    const { ranks, requests } = specs[i] as ScaleSpec;
    return [whole(ranks), whole(requests), whole(batches), whole(events), took.toFixed(2), cpuSeconds.toFixed(2), whole(events / cpuSeconds), (peakBytes / 2 ** 30).toFixed(2), seconds(wallMs)];
  });
  const table = tableOf(['ranks', 'requests', 'batches', 'events', 's', 'CPU s', 'events/CPU s', 'peak GiB', 'simulated s'], rows);
  if (results.length < 2) return table;
  const beyond = results.length < 3 ? '' : `; without the first line, which is start-up: ${slopeOf(results.slice(1)).toFixed(3)}`;
  return `${table}\nslope of log CPU time over log events: ${slopeOf(results).toFixed(3)}${beyond}`;
}

export function studyTable(specs: readonly ScaleSpec[], results: readonly Answer<StudyResult>[]): string {
  const timed = results.some(({ latencyMs }) => latencyMs !== null);
  const rows = results.map(({ inStep, figures, latencyMs, cpuSeconds }, i) => {
    const spec = specs[i] as ScaleSpec;
    return [
      nameOf(spec), whole(spec.ranks), spec.scheduler, whole(spec.networkGbits), whole(inStep), whole(figures.tokensPerSecondPerRank), percent(figures.mfu), percent(figures.hitRate), percent(figures.exposedShare), percent(figures.heldShare), percent(figures.idleShare),
      percent(figures.belowThreshold), whole(figures.batchTokens), figures.imbalance.toFixed(2), seconds(figures.wallMs),
      ...(timed ? [latencyMs === null ? '' : seconds(latencyMs.p50), latencyMs === null ? '' : seconds(latencyMs.p99)] : []), cpuSeconds.toFixed(1),
    ];
  });
  return tableOf([
    'arrangement', 'ranks', 'router', 'Gbit/s', 'in step', 'tokens/s rank', 'MFU', 'hits', 'exposed', 'held', 'idle', 'below T', 'tokens/batch', 'max/mean', 'wall, s', ...(timed ? ['p50, s', 'p99, s'] : []), 'CPU, s',
  ], rows);
}

export const LEGEND = `in step: ranks that wait for each other; exposed: waiting for experts, held: for others in step, idle: no batch; these, MFU and tokens/s until the first rank has had its last batch
tokens/s, hits: of prompts, cached tokens included; below T: batches with fewer FLOPs than T; tokens/batch: computed; max/mean: FLOPs of the ranks over the whole run; wall: until the last answer; CPU: of this computer
T is by the peak (gamma 1.2), hidden from: tokens from which compute at 32 % of the peak lasts as long as the gathers; room: tokens of keys and values in 16 bits that fit beside`;
