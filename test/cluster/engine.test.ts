/** The whole of it: rank processes, segments, streams and the engine, against the logits of Hugging Face transformers. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { launchCluster, type ClusterOptions, type RankInfo, type RunResult } from '../../src/cluster/index.ts';
import type { Strategy } from '../../src/strategy/index.ts';
import { memoryIsAsPlanned } from '../../src/strategy/memory.ts';
import type { TraceEvent } from '../../src/trace/events.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

interface Case {
  readonly tokens: Uint32Array;
  readonly logits: Float32Array;
}

function casesOf(name: string): Case[] {
  const { cases } = JSON.parse(readFileSync(`${fixture(name)}/cases.json`, 'utf8')) as { cases: { tokens: number[]; logits: string }[] };
  return cases.map(({ tokens, logits }) => ({
    tokens: Uint32Array.from(tokens),
    logits: new Float32Array(Uint8Array.from(Buffer.from(logits, 'base64')).buffer),
  }));
}

function relativeError(actual: Float32Array, expected: Float32Array): number {
  let [difference, norm] = [0, 0];
  for (const [i, value] of expected.entries()) {
    difference += (value - (actual[i] as number)) ** 2;
    norm += value ** 2;
  }
  return Math.sqrt(difference / norm);
}

async function runCases(cases: readonly Case[], options: Partial<ClusterOptions>): Promise<RunResult & { ranks: readonly RankInfo[] }> {
  const cluster = await launchCluster({
    model: { kind: 'folder', path: fixture('base-f32') }, ranks: 1, strategy: 'asyncep', adapters: ['lavapipe'], batchTokens: 200, ...options,
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
  // Short ones first in the file; the longest would keep a software adapter busy for seconds.
  const cases = casesOf('base-f32').filter(({ tokens }) => tokens.length <= 200);
  let expected: string;

  it('gives the logits of transformers, whatever the strategy and the number of ranks, bit for bit the same', async () => {
    const worlds: [Strategy, number][] = [['resident', 1], ['resident', 2], ['asyncep', 1], ['asyncep', 2], ['asyncep', 3], ['asyncep', 4], ['sync', 3]];
    for (const [strategy, ranks] of worlds) {
      // Three experts a bank: eight experts in three banks.
      const result = await runCases(cases, { strategy, ranks, bankBytes: 40_000 });
      for (const [i, { logits }] of cases.entries()) expect(relativeError(result.logits[i] as Float32Array, logits)).toBeLessThan(1e-4);
      expected ??= bits(result.logits);
      expect(bits(result.logits) === expected, `${strategy} on ${ranks} ranks has the bits of resident on one`).toBe(true);
      for (const { rank, memory } of result.ranks) expect(memoryIsAsPlanned(memory), `${strategy}, rank ${rank} of ${ranks}: ${JSON.stringify(memory)}`).toBe(true);
    }
  }, 120_000);

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
      expect(own.some(({ track }) => track === 'gather')).toBe(true);
      expect(own.filter(({ track }) => track === 'compute').map(({ name }) => name)).toContain('layer 2');
    }
  }, 60_000);
});
