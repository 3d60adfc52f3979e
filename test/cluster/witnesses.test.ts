/** What ranks find out about each other when no coordinator ends them: everyone names the rank at fault within the deadline, and ends by itself. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { sweepStaleSegments } from '../../src/collective/segment-files.ts';
import { RankError } from '../../src/errors.ts';
import { chance, isAlive, seed, segmentsOfTheirOwn, strike, type Fault } from './faults.ts';
import { LoneRanks, type World } from './lone-ranks.ts';

const DEADLINE_MS = 1_500;
const GRACE_MS = 3_000;

const segments = segmentsOfTheirOwn();
let lone: LoneRanks | undefined;
afterEach(async () => {
  await lone?.close();
  lone = undefined;
  sweepStaleSegments(); // as the next start would: the rank at fault could not tidy up
});

const CASES: readonly [World['strategy'], World['transport'], Fault][] = [
  ['ep', 'shared-memory', 'kill'], ['ep', 'shared-memory', 'stop'], ['ep', 'shared-memory', 'cut'],
  ['asyncep', 'websocket', 'kill'], ['asyncep', 'websocket', 'stop'], ['ep', 'websocket', 'cut'],
];

/** The first of `promises` to come, or an error that says who is late. */
const within = <T>(promise: Promise<T>, rank: number, what: string): Promise<T> =>
  Promise.race([promise, sleep(DEADLINE_MS + GRACE_MS, undefined, { ref: false }).then(() => Promise.reject(new Error(`rank ${rank} has not ${what}`)))]);

describe(`ranks without a coordinator (ASYNCEP_TEST_SEED=${seed})`, () => {
  it.each(CASES)('of %s over %s: after %s the others name the rank at fault, end, and leave nothing behind', async (strategy, transport, fault) => {
    const random = chance(`${strategy} ${transport} ${fault}`);
    lone = await LoneRanks.start({ strategy, transport, world: 3, deadlineMs: DEADLINE_MS });
    const atFault = random(3);
    lone.run();
    await sleep(100 + random(200));
    const victim = lone.ranks[atFault]?.child.pid as number;
    strike(fault, victim);
    const others = lone.ranks.filter(({ rank }) => rank !== atFault);
    const failures = await Promise.all(others.map(({ rank, failure }) => within(failure, rank, 'failed')));
    for (const error of failures) expect(error).toBeInstanceOf(RankError);
    expect(failures.map((error) => (error as RankError).rank), failures.join('\n')).toEqual([atFault, atFault]);
    expect(await Promise.all(others.map(({ rank, exit }) => within(exit, rank, 'ended')))).toEqual([1, 1]);
    expect(segments().filter((name) => !name.includes(`-${victim}-`))).toEqual([]);
    await lone.close();
    expect(lone.ranks.filter(({ child }) => isAlive(child.pid as number))).toEqual([]);
  });
});
