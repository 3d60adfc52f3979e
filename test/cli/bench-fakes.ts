/** Clusters without ranks: what they report is put in by the test. */
import type { Cluster, ClusterOptions, PassStats } from '../../src/cluster/index.ts';
import { InputError } from '../../src/errors.ts';
import { prepareSetting, type Setting, type StrategiesFlags } from '../../src/cli/bench-strategies-setting.ts';

export const FLAGS: StrategiesFlags = {
  model: 'bench', ranks: [2], strategies: ['asyncep', 'ep', 'tp'], workload: 'mixed', tokens: 4096, context: 1024, seed: 1, link: '20MB/s', transport: 'shared-memory',
  wire: 'bf16', dispatch: 'rank', batchTokens: 256, repetitions: 3,
};

export const settingOf = (flags: Partial<StrategiesFlags> = {}): Promise<Setting> => prepareSetting({ ...FLAGS, ...flags });

/** A pass of `rank` with round numbers. */
export const passOf = (rank: number, changes: Partial<PassStats> = {}): PassStats => ({
  pass: 0, rank, sequences: 1, tokens: 10, flops: 100, startEpochMs: 0, wallMs: 10, gatherMs: 0, copyMs: 0, waitedMs: 0, exposedMs: 2, hostBytes: 0,
  sentBytes: 8e6, receivedBytes: 8e6, transferMs: 10, expertRows: 30, engine: {}, ...changes,
});

export interface FakeCluster {
  readonly wallMs: readonly number[];
  readonly passes?: readonly PassStats[];
  /** Added to every logit. */
  readonly shift?: number;
  readonly refuses?: string;
  readonly software?: boolean;
}

/** Clusters by strategy; what they do is written down in `log`. */
export function fakeLaunch(clusters: Readonly<Record<string, FakeCluster>>, log: string[] = []): (options: ClusterOptions) => Promise<Cluster> {
  return async ({ strategy, ranks }) => {
    const { wallMs, passes = [], shift = 0, refuses, software = false } = clusters[strategy] as FakeCluster;
    log.push(`launch ${strategy}`);
    if (refuses !== undefined) throw new InputError('--ranks', '', refuses);
    let runs = 0;
    return {
      ranks: Array.from({ length: ranks }, (_, rank) => ({
        rank, pid: 1, adapter: `fake ${rank}`, software, gatherMs: strategy === 'asyncep' ? 50 : 0,
        memory: [{ name: 'a', where: 'device', expectedBytes: 100, allocatedBytes: 100 + rank }, { name: 'b', where: 'host', expectedBytes: 7, allocatedBytes: 7 }],
      })),
      tuning: { fake: strategy },
      run: async (sequences) => {
        log.push(`${strategy} runs ${sequences.length}`);
        return { logits: sequences.map(() => Float32Array.of(3 + shift, 4)), passes: [...passes], wallMs: wallMs[Math.max(0, runs++ - 1)] as number };
      },
      close: async () => void log.push(`close ${strategy}`),
    };
  };
}
