import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Departures, type Departure } from '../../src/cluster/departures.ts';
import type { PassAnswer } from '../../src/cluster/engine-pool.ts';
import { Rendezvous } from '../../src/cluster/rendezvous.ts';
import { Restarts } from '../../src/cluster/restarts.ts';
import { RankError } from '../../src/errors.ts';
import { firstTokens, problem, work } from './pools.ts';

const answer = (token: number): PassAnswer => ({ logits: Float32Array.of(token, 0, 0, 0, 0) }) as unknown as PassAnswer;
const tokensOf = (departure: Departure): (number | undefined)[] => departure.map((traveller) => traveller?.work.sequences[0]?.tokens[0]);

describe('departures', () => {
  it('take one pass of each engine that has one, when fewer than the limit are under way', async () => {
    const left: (number | undefined)[][] = [];
    const ends: (() => void)[] = [];
    const departures = new Departures(3, 2, async (departure) => {
      left.push(tokensOf(departure));
      await new Promise<void>((resolve) => void ends.push(resolve));
      for (const traveller of departure) traveller?.answer(answer(traveller.work.sequences[0]?.tokens[0] as number));
    });
    const answers = [[0, 10], [2, 20], [0, 11], [0, 12], [1, 30]].map(([engine, token]) => departures.add(engine as number, work(token as number)));
    await sleep(0);
    expect(left).toEqual([[10, 30, 20], [11, undefined, undefined]]);
    ends[0]?.();
    await answers[0];
    await sleep(0);
    expect(left[2]).toEqual([12, undefined, undefined]);
    for (const end of ends) end();
    expect((await Promise.all(answers)).map(({ logits }) => firstTokens(logits)[0])).toEqual([10, 20, 11, 12, 30]);
  });

  it('answer every pass once and in its engine\'s order, with never more than the limit under way', () =>
    fc.assert(fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 3 }), fc.array(fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 3 })), { maxLength: 30 }),
      async (engines, inFlight, passes) => {
        let [underWay, most] = [0, 0];
        const left: (number | undefined)[][] = [];
        const departures = new Departures(engines, inFlight, async (departure) => {
          most = Math.max(most, ++underWay);
          left.push(tokensOf(departure));
          const turns = Math.max(...departure.map((traveller) => traveller?.work.sequences[0]?.tokens[1] ?? 0));
          for (let turn = 0; turn < turns; turn++) await Promise.resolve();
          underWay--;
          for (const traveller of departure) traveller?.answer(answer(traveller.work.sequences[0]?.tokens[0] as number));
        });
        const given = passes.map(([engine, turns], i) => ({ engine: engine % engines, token: i + 1, turns }));
        const answers = await Promise.all(given.map(({ engine, token, turns }) =>
          departures.add(engine, { sequences: [{ tokens: Uint32Array.of(token, turns) }], candidates: new Uint32Array(0) })));
        expect(answers.map(({ logits }) => firstTokens(logits)[0])).toEqual(given.map(({ token }) => token));
        for (let engine = 0; engine < engines; engine++) {
          expect(left.flatMap((departure) => departure[engine] ?? [])).toEqual(given.filter((pass) => pass.engine === engine).map(({ token }) => token));
        }
        expect(most).toBeLessThanOrEqual(inFlight);
      },
    )));
});

describe('restarts', () => {
  it('pause twice as long after each failure in a row, up to 30 s, until there were too many', () => {
    const restarts = new Restarts(10, 500);
    expect(Array.from({ length: 10 }, () => restarts.failed())).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000, null]);
    const answered = new Restarts(3, 500);
    expect([answered.failed(), answered.failed()]).toEqual([500, 1_000]);
    answered.answered();
    expect([answered.inARow, answered.failed(), answered.failed(), answered.failed()]).toEqual([0, 500, 1_000, null]);
  });
});

describe('a rendezvous', () => {
  it('gives everyone the parts of all, and who comes back those that are true now', async () => {
    const rendezvous = new Rendezvous<string>(2);
    const first = rendezvous.meet(0, 'a');
    expect(await Promise.race([first, sleep(0, 'waits')])).toBe('waits');
    expect(await Promise.all([first, rendezvous.meet(1, 'b')])).toEqual([['a', 'b'], ['a', 'b']]);
    rendezvous.withdraw(0);
    expect(await rendezvous.meet(0, 'c')).toEqual(['c', 'b']);
  });

  it('waits for the next part of one that was withdrawn while others were awaited', async () => {
    const rendezvous = new Rendezvous<string>(3);
    const first = rendezvous.meet(0, 'a');
    void rendezvous.meet(1, 'stale');
    rendezvous.withdraw(1);
    void rendezvous.meet(2, 'c');
    expect(await Promise.race([first, sleep(0, 'waits')])).toBe('waits');
    void rendezvous.meet(1, 'b');
    expect(await first).toEqual(['a', 'b', 'c']);
  });

  it('ends the wait for a part that will never come', async () => {
    const rendezvous = new Rendezvous<string>(2);
    const waits = rendezvous.meet(0, 'a');
    rendezvous.giveUp(1, new RankError(1, 'is lost'));
    expect(await problem(waits)).toBe('RankError: rank 1: is lost');
    expect(await problem(rendezvous.meet(0, 'a'))).toBe('RankError: rank 1: is lost');
  });
});
