/** What a pool tells of its engines. */
import type { MemoryRow } from '../strategy/memory.ts';
import type { EngineInfo, EngineState } from './engine-pool.ts';
import type { StartedRank } from './launcher.ts';

/** What changes while an engine lives. */
export interface EngineLife {
  readonly engine: number;
  readonly state: EngineState;
  readonly restarts: number;
  readonly pid: number;
  readonly memory: readonly MemoryRow[];
}

/** @param ranks that are the engine: one, or all of a world in which every rank sees the same batch */
export function engineInfo(ranks: readonly StartedRank[], life: EngineLife): EngineInfo {
  const sum = (of: (rank: StartedRank) => number): number => ranks.reduce((total, rank) => total + of(rank), 0);
  return {
    ...life,
    adapter: [...new Set(ranks.map(({ info }) => info.adapter))].join(' + '),
    software: ranks.every(({ info }) => info.software),
    gatherMs: Math.max(...ranks.map(({ info }) => info.gatherMs)),
    measuredFlopsPerSecond: sum(({ rates }) => rates?.passFlopsPerSecond ?? 0),
    peakFlopsPerSecond: sum(({ rates }) => rates?.peakFlopsPerSecond ?? 0),
    maxBatchBlocks: Math.min(...ranks.map(({ maxBatchBlocks }) => maxBatchBlocks)),
    cacheBlocks: Math.min(...ranks.map(({ cacheBlocks }) => cacheBlocks)),
  };
}

/** Parts of all ranks by name. */
export function sumMemory(ranks: readonly (readonly MemoryRow[])[]): MemoryRow[] {
  const parts = new Map<string, MemoryRow>();
  for (const row of ranks.flat()) {
    const { expectedBytes = 0, allocatedBytes = 0 } = parts.get(row.name) ?? {};
    parts.set(row.name, { ...row, expectedBytes: expectedBytes + row.expectedBytes, allocatedBytes: allocatedBytes + row.allocatedBytes });
  }
  return [...parts.values()];
}
