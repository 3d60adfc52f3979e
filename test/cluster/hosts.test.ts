/** Ranks on hosts of their own, as far as one machine can show it: network namespaces behind links of limited rate. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchCluster, type ClusterOptions, type Progress } from '../../src/cluster/index.ts';
import { RankError } from '../../src/errors.ts';
import { createNetwork, networkProblem, type Network } from '../collective/namespaces.ts';
import { fixtureFolder, goldenCases, relativeError } from '../strategy/golden.ts';
import { isAlive, ranksOf, segmentsOfTheirOwn } from './faults.ts';

const HOSTS = 3;
const DEADLINE_MS = 1_500;
const GRACE_MS = 4_000;

const problem = networkProblem();
const segments = segmentsOfTheirOwn();
const cases = goldenCases('base-f32', 60);
let network: Network;

const onHosts = (strategy: ClusterOptions['strategy'], rest: Partial<ClusterOptions> = {}): ClusterOptions => ({
  model: { kind: 'folder', path: fixtureFolder('base-f32') }, adapters: ['lavapipe'], batchTokens: 60, strategy, ranks: HOSTS, transport: 'websocket', hosts: network.hosts, ...rest,
});

describe.skipIf(problem !== null)(`ranks on hosts of their own${problem === null ? '' : ` (skipped, no network namespaces here: ${problem})`}`, () => {
  beforeAll(() => void (network = createNetwork({ hosts: HOSTS, bytesPerSecond: 20e6, burstBytes: 64 << 10 })));
  afterAll(() => network.close());

  const strategies: readonly ClusterOptions['strategy'][] = ['asyncep', 'ep'];
  it.each(strategies)('give the logits of one process: %s', async (strategy) => {
    const cluster = await launchCluster(onHosts(strategy));
    try {
      const { logits, passes } = await cluster.run(cases.map(({ tokens }) => tokens), null);
      for (const [i, { logits: expected }] of cases.entries()) expect(relativeError(logits[i] as Float32Array, expected)).toBeLessThan(1e-4);
      expect(passes.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0)).toBeGreaterThan(0);
    } finally {
      await cluster.close();
    }
    expect(segments()).toEqual([]);
  });

  it('name the one that the network has lost, within the deadline, and end', async () => {
    let lostMs = NaN;
    const onProgress = ({ phase, done }: Progress): void => {
      if (phase !== 'passes' || done === 0 || !Number.isNaN(lostMs)) return;
      lostMs = performance.now();
      network.hosts[1]?.disconnect();
    };
    const cluster = await launchCluster(onHosts('asyncep', { deadlineMs: DEADLINE_MS, onProgress }));
    const pids = ranksOf(process.pid);
    expect(pids).toHaveLength(HOSTS);
    const run = cluster.run(Array.from({ length: 4_000 }, () => new Uint32Array(40).fill(7)), Uint32Array.of(1));
    const error = await Promise.race([run, sleep(30_000)]).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(RankError);
    // The lost one hears nothing from the others, either: it is one against two.
    expect((error as RankError).message).toMatch(/^rank 1: its link has been silent for \d\.\d s/);
    expect(performance.now() - lostMs).toBeLessThan(DEADLINE_MS + GRACE_MS);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(segments()).toEqual([]);
    await cluster.close();
  });
});
