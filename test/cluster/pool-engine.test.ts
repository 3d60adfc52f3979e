/** Pools of the real engine: answers are those of transformers, and to the last bit the same after a rank was started again. */
import { describe, expect, it } from 'vitest';
import { launchEnginePool, type EnginePool, type EnginePoolOptions, type PassAnswer, type PassWork } from '../../src/cluster/index.ts';
import { fixtureFolder, goldenCases } from '../strategy/golden.ts';
import { segmentsOfTheirOwn, strike } from './faults.ts';
import { allReady, poolsOfTests, problem, until } from './pools.ts';

/** For a machine that has other things to do. */
const START_TWICE_MS = 180_000;

const segments = segmentsOfTheirOwn();
const opened = poolsOfTests(segments);
const cases = goldenCases('base-f32', 60);
const CANDIDATES = Uint32Array.of(1, 2, 3, 5, 8);
const batch: PassWork = { sequences: cases.map(({ tokens }) => ({ tokens })), candidates: CANDIDATES };

const open = (rest: Partial<EnginePoolOptions>): Promise<EnginePool> => launchEnginePool({
  model: { kind: 'folder', path: fixtureFolder('base-f32') }, adapters: ['lavapipe'], ranks: 2, strategy: 'asyncep', batchTokens: 200, restartPauseMs: 20, ...rest,
});

function expectGolden({ logits }: PassAnswer): void {
  for (const [i, { logits: wanted }] of cases.entries()) {
    for (const [column, token] of CANDIDATES.entries()) expect(logits[i * CANDIDATES.length + column]).toBeCloseTo(wanted[token] as number, 3);
  }
}

/** Kills the process of an engine and waits until it, or another in its place, is ready. */
async function loseAndRegain(running: EnginePool, engine: number): Promise<void> {
  const before = running.engines[engine]?.restarts ?? 0;
  strike('kill', running.engines[engine]?.pid as number);
  await until(() => (running.engines[engine]?.restarts ?? 0) > before, 'it is started again');
  await allReady(running);
}

describe('a pool of real engines', () => {
  it.each(['asyncep', 'resident'] as const)('answers alike before and after an engine was started again, which says how fast it is: %s', async (strategy) => {
    const pool = await opened(open({ strategy }));
    for (const { measuredFlopsPerSecond, peakFlopsPerSecond, gatherMs, maxBatchBlocks } of pool.engines) {
      expect(measuredFlopsPerSecond).toBeGreaterThan(0);
      expect(peakFlopsPerSecond).toBeGreaterThan(0);
      expect(gatherMs > 0).toBe(strategy === 'asyncep');
      expect(maxBatchBlocks).toBeGreaterThan(100);
    }
    const before = await pool.pass(1, batch);
    expectGolden(before);
    const bad = { sequences: [{ tokens: Uint32Array.of(1_000_000) }], candidates: CANDIDATES };
    expect(await problem(pool.pass(1, bad))).toMatch(/^InputError: sequence 0: tokens\[0\]: 1000000 is not in the vocabulary/);
    await loseAndRegain(pool, 1);
    for (const engine of [1, 0]) expect((await pool.pass(engine, batch)).logits).toEqual(before.logits);
    expect(before.stats.flops).toBe((await pool.pass(0, batch)).stats.flops);
  }, START_TWICE_MS);

  it.each([['asyncep', 'websocket', 0], ['ep', 'shared-memory', 1], ['tp', 'shared-memory', 0]] as const)('of %s over %s, which run passes together, do so too (%i layers offloaded)', async (strategy, transport, offloadLayers) => {
    const pool = await opened(open({ strategy, transport, offloadLayers, measure: strategy === 'ep' }));
    const last = pool.engines.length - 1;
    expect(last).toBe(strategy === 'tp' ? 0 : 1);
    const before = await pool.pass(last, batch);
    expectGolden(before);
    await loseAndRegain(pool, last);
    const running = pool;
    const after = await Promise.all([last, 0, 0, last, 0].map((engine) => running.pass(engine, batch)));
    for (const { logits } of after) expect(logits).toEqual(before.logits);
  }, START_TWICE_MS);
});
