/** Engines that are a rank each: passes at the same time, and ranks that fail and come back while the others go on. */
import { readdirSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import type { TraceEvent } from '../../src/trace/events.ts';
import { OMENS, VOCABULARY } from './fake-backend.ts';
import { ranksOf, segmentsOfTheirOwn, strike } from './faults.ts';
import { allReady, changesOf, fakePool, firstTokens, poolsOfTests, problem, signals, until, work } from './pools.ts';

// Ranks start many times here, on a machine that may have other things to do.
vi.setConfig({ testTimeout: 180_000 });

const segments = segmentsOfTheirOwn();
const opened = poolsOfTests(segments);
const signal = signals();
/** A rank that is stopped is found silent after so long. */
const DEADLINE_MS = 3_000;

describe('a pool of engines', () => {
  it('runs passes of several engines, and two of one, at the same time, and tells what the engines tell', async () => {
    const events: TraceEvent[] = [];
    const pool = await opened(fakePool({ trace: true, batchTokens: 300, engine: { gate: signal.path('overlap') } }));
    pool.onTrace((batch) => events.push(...batch));
    const { engines } = pool;
    expect(engines.map(({ engine, adapter, software, state, restarts }) => [engine, adapter, software, state, restarts])).toEqual([0, 1, 2].map((engine) => [engine, 'fake', true, 'ready', 0]));
    expect(engines.map((info) => [info.measuredFlopsPerSecond, info.peakFlopsPerSecond, info.maxBatchBlocks, info.cacheBlocks])).toEqual([0, 1, 2].map((rank) => [300, 1000 + rank, 64, 100]));
    expect(engines.map(({ pid }) => pid).sort((a, b) => a - b)).toEqual(ranksOf(process.pid));

    const held = pool.pass(0, work(OMENS.wait));
    const heldToo = pool.pass(1, work(OMENS.wait));
    expect(firstTokens((await pool.pass(0, work(5, 6))).logits)).toEqual([5, 6]);
    expect([...(await pool.pass(2, work(7))).logits]).toEqual([7, 2, 0, 1, 2]);
    signal.give('overlap');
    expect((await held).stats.rank).toBe(0);
    expect((await heldToo).stats.rank).toBe(1);

    const scored = { sequences: [{ tokens: Uint32Array.of(3, 4, 5), scored: 2 }, { tokens: Uint32Array.of(9) }], candidates: new Uint32Array(0), top: 2 };
    const { scores, cachedTokens, cache } = await pool.pass(1, scored);
    expect(scores).toEqual({ top: 2, normalizers: Float32Array.of(4, 5), nextLogits: Float32Array.of(4, 5), topTokens: Uint32Array.of(4, 5, 5, 6), topLogits: Float32Array.of(4, 5, 5, 6) });
    expect(cachedTokens).toEqual([2, 0]);
    expect([...cache.materialised]).toEqual([3, 9]);
    expect((await pool.pass(1, work(1))).scores).toBeNull();
    expect(new Set(events.map(({ rank }) => rank))).toEqual(new Set([0, 1, 2]));
    expect(events.every(({ startUs }) => startUs > 0 && startUs / 1000 < performance.now() + 5)).toBe(true);
  });

  it('refuses a bad batch alone, and the engine goes on', async () => {
    const pool = await opened(fakePool({ ranks: 1, measure: false, engine: { gate: signal.path('refused') } }));
    const held = pool.pass(0, work(OMENS.wait));
    expect(await problem(pool.pass(0, work(1, VOCABULARY)))).toBe('InputError: sequence 1: tokens[0]: 1000000 is not in the vocabulary; expected 0 to 999999');
    expect(await problem(pool.pass(0, work()))).toBe('InputError: batch: sequences: are none; expected at least one');
    expect(await problem(pool.pass(1, work(1)))).toBe('InputError: engine: 1; expected 0 to 0');
    // What only the rank can know.
    expect(await problem(pool.pass(0, work(OMENS.refuse)))).toBe('InputError: batch: tokens: are too many for this device');
    signal.give('refused');
    expect(firstTokens((await held).logits)).toEqual([OMENS.wait]);
    expect(pool.engines.map(({ state, restarts, measuredFlopsPerSecond }) => [state, restarts, measuredFlopsPerSecond])).toEqual([['ready', 0, 0]]);
    await pool.close();
    expect(await problem(pool.pass(0, work(1)))).toBe('AsyncepError: the engines have been closed');
  });

  it('ends with the error of a rank that fails while it starts', async () => {
    expect(await problem(fakePool({ engine: { failRank: 1, failAt: 'prepare' } }))).toBe('RankError: rank 1: failed at prepare');
    expect(await problem(fakePool({ ranks: 9 }))).toBe('InputError: --ranks: 9 ranks asked for; expected a whole number from 1 to 8');
  });
});

describe('an engine that is lost', () => {
  it('rejects its passes with an error that names it, comes back, and answers, while the others go on', async () => {
    const pool = await opened(fakePool({ deadlineMs: DEADLINE_MS, passDeadlineMs: 4_000, measure: false, engine: { gate: signal.path('lost') } }));
    const pass = pool.pass.bind(pool);
    const changes = changesOf(pool);
    const faults: [string, (pid: number) => void, RegExp][] = [
      ['killed', (pid) => strike('kill', pid), /^rank 1: ended with signal SIGKILL while running pass \d+$/],
      ['stopped', (pid) => strike('stop', pid), /^rank 1: gave no sign of life for \d\.\d s while running pass \d+$/],
      ['reports a failure', () => void problem(pass(1, work(OMENS.fail))), /^rank 1: failed by order$/],
      ['never answers', () => undefined, /^rank 1: running pass \d+ was not over after 4 s$/],
    ];
    for (const [restarts, [name, fault, expected]] of faults.entries()) {
      const before = pool.engines[1]?.pid as number;
      const waiting = problem(pass(1, work(OMENS.wait)));
      fault(before);
      expect((await waiting).replace('RankError: ', ''), name).toMatch(expected);
      expect(await problem(pass(1, work(1))), name).toMatch(/^RankError: rank 1: /);
      for (const other of [0, 2]) expect(firstTokens((await pass(other, work(40 + other))).logits)).toEqual([40 + other]);
      await allReady(pool);
      expect(firstTokens((await pass(1, work(8))).logits)).toEqual([8]);
      expect(pool.engines.map((info) => info.restarts)).toEqual([0, restarts + 1, 0]);
      expect(pool.engines[1]?.pid).not.toBe(before);
      expect(changes(1).slice(3 * restarts)).toEqual([expect.stringMatching(expected.source.replace('^', '^lost: ')), 'starting', 'ready']);
      expect(readdirSync(process.env['ASYNCEP_SEGMENT_DIR'] as string)).toHaveLength(3);
    }
    expect(changes(0)).toEqual([]);
  });

  it('waits for the experts of others that are lost with it', async () => {
    const pool = await opened(fakePool({ measure: false }));
    for (const { pid } of pool.engines) strike('kill', pid);
    await until(() => pool.engines.every(({ restarts }) => restarts > 0), 'all have been started again');
    await allReady(pool);
    for (const { engine } of pool.engines) expect(firstTokens((await pool.pass(engine, work(3))).logits)).toEqual([3]);
  });

  it('stays lost after too many failures in a row, and who needs its experts to start does, too', async () => {
    const pool = await opened(fakePool({ ranks: 2, maxFailures: 3, measure: false, engine: { failRank: 1, failAt: 'open', since: signal.path('never') } }));
    const changes = changesOf(pool);
    signal.give('never');
    strike('kill', pool.engines[1]?.pid as number);
    const given = 'rank 1: failed at open (not started again: 3 failures in a row)';
    await until(() => changes(1).at(-1) === `gone: ${given}`, 'it was given up');
    expect(changes(1)).toEqual([
      'lost: rank 1: ended with signal SIGKILL while waiting for work', 'starting', 'lost: rank 1: failed at open', 'starting', `gone: ${given}`,
    ]);
    expect(await problem(pool.pass(1, work(1)))).toBe(`RankError: ${given}`);
    expect(firstTokens((await pool.pass(0, work(4))).logits)).toEqual([4]);
    strike('kill', pool.engines[0]?.pid as number);
    const gone = 'gone: rank 0: cannot go on: rank 1: is lost, and the experts that it had (not started again: 3 failures in a row)';
    await until(() => changes(0).at(-1) === gone, 'the other one was given up');
  });

  it('is cleared away when the pool is closed while it starts again', async () => {
    const pool = await opened(fakePool({ measure: false }));
    const changes = changesOf(pool);
    strike('kill', pool.engines[0]?.pid as number);
    strike('kill', pool.engines[2]?.pid as number);
    await until(() => changes(2).includes('starting'), 'it starts again');
    await pool.close();
    expect([...ranksOf(process.pid), ...segments()]).toEqual([]);
    expect(changes(0)).not.toContain('ready');
  });
});
