/** Engines whose ranks take part in each other's passes: they ride together, and start again together. */
import { describe, expect, it, vi } from 'vitest';
import type { EnginePool } from '../../src/cluster/index.ts';
import { OMENS } from './fake-backend.ts';
import { ranksOf, segmentsOfTheirOwn, strike } from './faults.ts';
import { allReady, changesOf, fakePool, firstTokens, poolsOfTests, problem, signals, until, work } from './pools.ts';

// Ranks start many times here, on a machine that may have other things to do.
vi.setConfig({ testTimeout: 180_000 });

const segments = segmentsOfTheirOwn();
const opened = poolsOfTests(segments);
const signal = signals();

describe('engines of a world in which all ranks take part in every pass', () => {
  it('ride together, those without work with an empty batch, and are all started again when one is lost', async () => {
    const pool = await opened(fakePool({ transport: 'websocket', engine: { gate: signal.path('never') } }));
    const changes = changesOf(pool);
    const together = await Promise.all([pool.pass(0, work(3, 4)), pool.pass(2, work(5))]);
    expect(together.map(({ logits }) => firstTokens(logits))).toEqual([[3, 4], [5]]);
    for (const { stats } of together) expect(stats).toMatchObject({ pass: 0, engine: { lengths: [[2, 2], [], [2]] } });
    expect((await pool.pass(1, work(6))).stats).toMatchObject({ pass: 1, engine: { lengths: [[], [2], []] } });

    const refused = [pool.pass(0, work(OMENS.refuse)), pool.pass(1, work(7))];
    expect(await problem(refused[0] as Promise<unknown>)).toBe('InputError: batch: tokens: are too many for this device');
    expect(firstTokens((await refused[1])?.logits ?? new Float32Array(0))).toEqual([7]);
    expect(changes(0)).toEqual([]);

    const lost = [0, 1, 1, 1].map((engine) => problem((pool as EnginePool).pass(engine, work(OMENS.wait))));
    strike('kill', pool.engines[1]?.pid as number);
    for (const each of await Promise.all(lost)) expect(each).toMatch(/^RankError: rank 1: ended with signal SIGKILL while running pass \d$/);
    await until(() => changes(0).includes('starting'), 'the world starts again');
    await allReady(pool);
    for (const engine of [0, 1, 2]) {
      expect(changes(engine)).toEqual([expect.stringMatching(/^lost: rank 1: ended with signal SIGKILL/), 'starting', 'ready']);
      expect(firstTokens((await pool.pass(engine, work(8))).logits)).toEqual([8]);
    }
    expect(pool.engines.map(({ restarts }) => restarts)).toEqual([1, 1, 1]);
  });

  it('are one where all ranks see the same batch, each of which answers a part of it', async () => {
    const pool = await opened(fakePool({ strategy: 'tp', batchTokens: 100 }));
    expect(pool.engines).toHaveLength(1);
    const [info] = pool.engines;
    expect(info).toMatchObject({ adapter: 'fake', measuredFlopsPerSecond: 300, peakFlopsPerSecond: 3003, maxBatchBlocks: 64, memory: [{ name: 'slots', expectedBytes: 24 }] });
    const { logits, stats } = await pool.pass(0, work(11, 12, 13, 14, 15));
    expect(firstTokens(logits)).toEqual([11, 12, 13, 14, 15]);
    expect([1, 6, 11, 16, 21].map((at) => logits[at])).toEqual([0, 1, 2, 0, 1]);
    expect(stats).toMatchObject({ sequences: 5, tokens: 10, flops: 150, engine: { lengths: [[2, 2, 2, 2, 2]] } });
    const scored = { sequences: [{ tokens: Uint32Array.of(1), scored: 1 }], candidates: new Uint32Array(0) };
    expect(await problem(pool.pass(0, scored))).toBe('InputError: batch: scored: ranks that split layers score no positions; expected asyncep, sync or resident');
    const long = { sequences: Array.from({ length: 65 }, () => ({ tokens: Uint32Array.of(1) })), candidates: Uint32Array.of(1) };
    expect(await problem(pool.pass(0, long))).toBe('InputError: batch: tokens: in 65 blocks of 16; the engine holds keys and values of at most 64');
  });

  it('stay lost after too many failures in a row', async () => {
    const pool = await opened(fakePool({ strategy: 'ep', ranks: 2, maxFailures: 2, measure: false, engine: { failRank: 0, failAt: 'open', since: signal.path('gone') } }));
    const changes = changesOf(pool);
    signal.give('gone');
    expect(await problem(pool.pass(1, work(OMENS.fail)))).toBe('RankError: rank 1: failed by order');
    const given = 'gone: rank 0: failed at open (not started again: 2 failures in a row)';
    await until(() => changes(1).at(-1) === given, 'they were given up');
    expect(changes(0)).toEqual(['lost: rank 1: failed by order', 'starting', given]);
  });
});

describe('engines that need each other only to start', () => {
  it('ride alone, and start again together', async () => {
    const pool = await opened(fakePool({ strategy: 'resident', transport: 'websocket', ranks: 2, measure: false, engine: { gate: signal.path('alone') } }));
    const changes = changesOf(pool);
    const held = pool.pass(0, work(OMENS.wait));
    expect((await pool.pass(1, work(2))).stats.engine).toEqual({ kind: 'fake', lengths: [] });
    signal.give('alone');
    await held;
    expect(await problem(pool.pass(0, work(OMENS.die)))).toMatch(/^RankError: rank 0: ended with signal SIGKILL/);
    await until(() => changes(1).at(-1) === 'ready', 'the other one is ready again');
    expect(firstTokens((await pool.pass(0, work(4))).logits)).toEqual([4]);
  });

  it('are closed while they start again', async () => {
    const pool = await opened(fakePool({ transport: 'websocket', measure: false }));
    const changes = changesOf(pool);
    strike('kill', pool.engines[0]?.pid as number);
    await until(() => changes(2).includes('starting'), 'they start again');
    await pool.close();
    expect([...ranksOf(process.pid), ...segments()]).toEqual([]);
  });
});
