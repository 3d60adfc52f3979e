/** The whole of it: rank processes, segments, streams and the engine, against the logits of Hugging Face transformers. */
import { describe, expect, it } from 'vitest';
import { launchCluster, type ClusterOptions, type RankInfo, type RunResult } from '../../src/cluster/index.ts';
import type { Strategy } from '../../src/strategy/index.ts';
import { memoryIsAsPlanned } from '../../src/strategy/memory.ts';
import type { TraceEvent } from '../../src/trace/events.ts';
import { fixtureFolder, goldenCases, relativeError, type GoldenCase } from '../strategy/golden.ts';

async function runCases(cases: readonly GoldenCase[], options: Partial<ClusterOptions>): Promise<RunResult & { ranks: readonly RankInfo[] }> {
  const cluster = await launchCluster({
    model: { kind: 'folder', path: fixtureFolder('base-f32') }, ranks: 1, strategy: 'asyncep', adapters: ['lavapipe'], batchTokens: 200, ...options,
  });
  try {
    const result = await cluster.run(cases.map(({ tokens }) => tokens), null);
    return { ...result, ranks: cluster.ranks };
  } finally {
    await cluster.close();
  }
}

const bits = (logits: readonly Float32Array[]): string => Buffer.concat(logits.map((row) => Buffer.from(row.buffer))).toString('base64');

describe('a world of ranks', () => {
  const cases = goldenCases('base-f32', 200);

  it('gives the logits of transformers, bit for bit the same on one rank and on three, with memory as planned', async () => {
    let expected: string | undefined;
    // Eight experts over three ranks.
    const worlds: [Strategy, number][] = [['resident', 1], ['asyncep', 3]];
    for (const [strategy, ranks] of worlds) {
      // Three experts a bank: eight experts in three banks.
      const result = await runCases(cases, { strategy, ranks, bankBytes: 40_000 });
      for (const [i, { logits }] of cases.entries()) expect(relativeError(result.logits[i] as Float32Array, logits)).toBeLessThan(1e-4);
      expected ??= bits(result.logits);
      expect(bits(result.logits) === expected, `${strategy} on ${ranks} ranks has the bits of resident on one`).toBe(true);
      for (const { rank, memory } of result.ranks) expect(memoryIsAsPlanned(memory), `${strategy}, rank ${rank} of ${ranks}: ${JSON.stringify(memory)}`).toBe(true);
    }
  }, 120_000);

  it.each(['ep', 'tp', 'pp', 'ep offloaded'])('gives the logits of transformers under %s, with memory as planned', async (name) => {
    const [strategy, offloaded] = name.split(' ') as [Strategy, string?];
    const { logits, ranks, passes } = await runCases(cases, { strategy, ranks: 2, batchTokens: 64, ...(offloaded && { offloadLayers: 1 }) });
    for (const [i, { logits: wanted }] of cases.entries()) expect(relativeError(logits[i] as Float32Array, wanted)).toBeLessThan(1e-4);
    expect(passes.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0)).toBe(passes.reduce((sum, { sentBytes }) => sum + sentBytes, 0));
    for (const { rank, memory } of ranks) expect(memoryIsAsPlanned(memory), `rank ${rank}: ${JSON.stringify(memory)}`).toBe(true);
  }, 60_000);

  it('runs on adapters of different vendors side by side, and draws one timeline', async () => {
    const events: TraceEvent[] = [];
    const { logits, ranks, passes } = await runCases(cases, {
      ranks: 2, adapters: ['lavapipe', 'swiftshader'], batchTokens: 64, onTrace: (batch) => events.push(...batch),
    });
    expect(new Set(ranks.map(({ adapter }) => adapter)).size).toBe(2);
    for (const [i, { logits: wanted }] of cases.entries()) expect(relativeError(logits[i] as Float32Array, wanted)).toBeLessThan(1e-4);
    expect(passes.every(({ flops, wallMs, hostBytes }) => flops > 0 && wallMs > 0 && hostBytes >= 0)).toBe(true);
    for (const rank of [0, 1]) {
      const own = events.filter((event) => event.rank === rank);
      expect(own.some(({ track }) => track === 'receive')).toBe(true);
      expect(own.filter(({ track }) => track === 'compute').map(({ name }) => name)).toContain('layer 2');
    }
  }, 60_000);
});
