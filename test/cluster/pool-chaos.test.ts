/** Ranks that are killed, stopped and made to fail at random: every pass is answered rightly or rejected with a RankError, and nothing is left. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { EngineInfo, EnginePool } from '../../src/cluster/index.ts';
import { RankError } from '../../src/errors.ts';
import { OMENS } from './fake-backend.ts';
import { chance, ranksOf, seed, segmentsOfTheirOwn, strike } from './faults.ts';
import { allReady, changesOf, fakePool, firstTokens, problem, work } from './pools.ts';

const segments = segmentsOfTheirOwn();
const CHAOS_MS = 12_000;
const BETWEEN_FAULTS_MS = 900;
/** A rank that is stopped is found silent after so long. */
const DEADLINE_MS = 1_500;
/** Longer than any pass takes, deadlines included. */
const PASS_MS = 20_000;
/** The end of a rank that was struck last may be heard of only after it was asked again. */
const LAST_TRIES = 3;

interface Tally {
  answered: number;
  lost: number;
  /** Whatever else came. */
  readonly wrong: string[];
}

/** Passes of one engine, one after another. */
async function client(pool: EnginePool, engine: number, token: () => number, over: () => boolean, tally: Tally): Promise<void> {
  while (!over()) {
    const [first, second] = [token(), token()];
    const late = sleep(PASS_MS, undefined, { ref: false }).then(() => Promise.reject(new Error('no answer came')));
    try {
      const { logits, stats } = await Promise.race([pool.pass(engine, work(first, second)), late]);
      tally.answered++;
      if (firstTokens(logits).join() !== `${first},${second}` || stats.rank !== engine) tally.wrong.push(`engine ${engine} answered ${firstTokens(logits).join()} to ${first},${second}`);
    } catch (error) {
      if (error instanceof RankError && error.rank === engine) tally.lost++;
      else tally.wrong.push(String(error));
      await sleep(20);
    }
  }
}

/** @throws what the last try was rejected with */
async function answerInTheEnd(pool: EnginePool, engine: number, token: number): Promise<number[]> {
  for (let tries = 1; ; tries++) {
    await allReady(pool);
    try {
      return firstTokens((await pool.pass(engine, work(token))).logits);
    } catch (error) {
      if (tries === LAST_TRIES) throw error;
    }
  }
}

it(`every pass is answered rightly or names the engine that was lost (ASYNCEP_TEST_SEED=${seed})`, async () => {
  const pool = await fakePool({ measure: false, deadlineMs: DEADLINE_MS, maxFailures: 1_000, engine: { slowMs: 5 } });
  const changes = changesOf(pool);
  const random = chance('chaos');
  const token = (): number => 1 + random(10_000);
  const tally: Tally = { answered: 0, lost: 0, wrong: [] };
  const endMs = performance.now() + CHAOS_MS;
  const over = (): boolean => performance.now() > endMs;
  const clients = [0, 1, 2].flatMap((engine) => [0, 1, 2].map(() => client(pool, engine, token, over, tally)));
  while (!over()) {
    await sleep(random(2 * BETWEEN_FAULTS_MS));
    if (over()) break;
    const victim = random(3);
    const { pid, state } = pool.engines[victim] as EngineInfo;
    if (!ranksOf(process.pid).includes(pid)) continue; // it is gone already, and the next one has not been born
    // One that is stopped while it is born would be given up after a minute only.
    const faults = [() => strike('kill', pid), () => strike(state === 'ready' ? 'stop' : 'kill', pid), () => problem(pool.pass(victim, work(OMENS.fail))), () => problem(pool.pass(victim, work(OMENS.die)))];
    void faults[random(faults.length)]?.();
  }
  await Promise.all(clients);
  expect(tally.wrong).toEqual([]);
  expect(tally.lost).toBeGreaterThan(0);
  await allReady(pool).catch((error: Error) => Promise.reject(new Error(`${error.message}: ${[0, 1, 2].map((engine) => changes(engine).slice(-4).join(', ')).join('; ')}`)));
  for (const engine of [0, 1, 2]) {
    expect(await answerInTheEnd(pool, engine, 77)).toEqual([77]);
    expect(changes(engine).filter((text) => text === 'ready').length).toBeGreaterThan(0);
  }
  expect(tally.answered).toBeGreaterThan(100);
  await pool.close();
  expect([...ranksOf(process.pid), ...segments()]).toEqual([]);
}, 240_000);
