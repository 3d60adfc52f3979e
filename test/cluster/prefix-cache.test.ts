/** Ranks with prefix caches: the bits of ranks without, less work, memory as planned. */
import { describe, expect, it } from 'vitest';
import { launchCluster, type ClusterOptions, type RankInfo } from '../../src/cluster/index.ts';
import { memoryIsAsPlanned } from '../../src/strategy/memory.ts';
import { fixtureFolder } from '../strategy/golden.ts';

/** Twelve questions about one text. */
const sequences = Array.from({ length: 12 }, (_, question) => Uint32Array.from({ length: 90 + question }, (__, i) => (i < 80 ? i * 7 : i * 11 + question) % 256));

interface Outcome {
  readonly logits: Float32Array[];
  readonly flops: number;
  readonly ranks: readonly RankInfo[];
}

async function run(options: Partial<ClusterOptions>): Promise<Outcome> {
  const cluster = await launchCluster({
    model: { kind: 'folder', path: fixtureFolder('base-f32') }, ranks: 2, strategy: 'asyncep', adapters: ['lavapipe'], batchTokens: 200, ...options,
  });
  try {
    const { logits, passes } = await cluster.run(sequences, Uint32Array.of(1, 2, 3));
    return { logits, flops: passes.reduce((sum, pass) => sum + pass.flops, 0), ranks: cluster.ranks };
  } finally {
    await cluster.close();
  }
}

describe('ranks with a prefix cache', () => {
  it('give the bits of ranks without one for less work, and hold the memory that was planned', async () => {
    const without = await run({});
    for (const prefixCacheBytes of [0, 100_000]) {
      const { logits, flops, ranks } = await run({ kv: 'cache', prefixCacheBytes });
      expect(logits).toEqual(without.logits);
      expect(flops).toBeLessThan(without.flops);
      for (const { memory } of ranks) {
        expect(memoryIsAsPlanned(memory), JSON.stringify(memory)).toBe(true);
        // A block: keys and values of 3 layers, 2 heads of 16 dimensions in f32 for 16 tokens, and a pair of numbers for its copy.
        const perBlock = 3 * 2 * (2 * 16 * 16 * 4) + 8;
        const cache = memory.find(({ name }) => name === 'prefix cache')?.allocatedBytes ?? 0;
        expect(cache).toBe(Math.floor(prefixCacheBytes / perBlock) * perBlock);
      }
    }
  }, 120_000);

  it.each(['ep', 'dp-tp', 'tp-ep', 'tp', 'pp'] as const)('are refused under %s, before any process starts', async (strategy) => {
    const message = await run({ strategy, kv: 'cache' }).then(() => 'ran', (error: Error) => error.message);
    expect(message).toBe(
      `--kv: cache: under ${strategy} all ranks compute every batch together and know its rows from the lengths alone, whatever a rank has cached; ` +
      'expected asyncep, sync, resident, or --kv layer or none');
  });
});
