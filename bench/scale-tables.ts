/** The tables of `bench:scale`: which runs each has, and its columns. */
import type { ArrangementKind } from '../src/sim/topology.ts';
import type { SchedulerKind } from '../src/serving/scheduling.ts';
import type { ScaleSpec } from './scale-spec.ts';

export interface ScaleFlags {
  readonly ranks: readonly number[];
  /** Of the tables that compare something else than numbers of ranks. */
  readonly compareRanks: number;
  readonly requestsPerRank: number;
  /** Of strong scaling. */
  readonly requests: number;
  readonly networkGbits: number;
  readonly slowGbits: number;
  readonly scheduler: SchedulerKind;
}

export const TABLES = ['speed', 'plan', 'weak', 'strong', 'network', 'batches', 'even', 'schedulers', 'latency'] as const;
export type TableName = (typeof TABLES)[number];

/** An arrangement and the size of its worlds. */
export interface Way {
  readonly arrangement: ArrangementKind;
  readonly worldRanks?: number;
}

export const WAYS: readonly Way[] = [
  { arrangement: 'flat' }, { arrangement: 'channels' }, { arrangement: 'rings' }, { arrangement: 'fetch' }, { arrangement: 'node-fetch' },
  { arrangement: 'replicas', worldRanks: 8 }, { arrangement: 'replicas', worldRanks: 16 }, { arrangement: 'replicas', worldRanks: 32 },
];
/** About what T of a flat ring asks for. */
export const LONG_BATCH_TOKENS = 262_144;
const NODE: Way = { arrangement: 'replicas', worldRanks: 8 };

/** Whether the ranks are whole worlds (1,000 are none of 16 or 32); on one node there is but a ring, or none. */
export const suits = ({ arrangement, worldRanks = 1 }: Way, ranks: number): boolean =>
  ranks % worldRanks === 0 && (ranks > 8 || arrangement === 'flat' || arrangement === 'replicas');

/** Runs of each table; `plan` has none, it is computed. */
export function runsOf(table: TableName, flags: ScaleFlags): ScaleSpec[] {
  const { ranks, compareRanks, requestsPerRank, requests, networkGbits, slowGbits, scheduler } = flags;
  const base = { workload: 'mixed', scheduler, networkGbits };
  /** Channels differ from the flat ring in t_EP alone. */
  const ways = (count: number, changes: Partial<ScaleSpec> = {}): ScaleSpec[] =>
    WAYS.filter((way) => way.arrangement !== 'channels' && suits(way, count)).map((way) => ({ ...base, ...way, ranks: count, requests: count * requestsPerRank, ...changes }));
  const runs: Readonly<Record<TableName, () => ScaleSpec[]>> = {
    speed: () => ranks.map((count) => ({ ...base, ...NODE, ranks: count, requests: count * requestsPerRank })),
    plan: () => [],
    weak: () => ranks.flatMap((count) => ways(count)),
    strong: () => ranks.map((count) => ({ ...base, ...NODE, ranks: count, requests })),
    network: () => ways(compareRanks, { networkGbits: slowGbits }),
    batches: () => [networkGbits, slowGbits].flatMap((gbits) =>
      ways(compareRanks, { networkGbits: gbits, batchTokens: LONG_BATCH_TOKENS }).filter(({ arrangement }) => arrangement !== 'replicas')),
    even: () => ways(compareRanks, { workload: 'medium', requests: compareRanks * 100 }),
    schedulers: () => ranks.flatMap((count) => (['grouped', 'prefix', 'least-loaded'] as const).map((kind) => ({ ...base, ...NODE, scheduler: kind, ranks: count, requests: count * requestsPerRank }))),
    latency: () => ways(compareRanks, { load: 0.5 }),
  };
  return runs[table]();
}
