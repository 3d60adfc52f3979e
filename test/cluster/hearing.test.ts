import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { describeFailure, reviveFailure } from '../../src/cluster/failure.ts';
import { Hearing } from '../../src/cluster/hearing.ts';
import { type AsyncepError, InputError, RankError } from '../../src/errors.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** What is decided when ranks of three, with a deadline of 10 s, say so in this order, 10 ms (or the number between) apart, and after how many milliseconds. */
function verdict(...said: readonly (number | readonly [reporter: number, error: AsyncepError])[]): [string, number] {
  const start = performance.now();
  const verdicts: [string, number][] = [];
  const hearing = new Hearing(3, 10_000, (error) => void verdicts.push([error.message, performance.now() - start]));
  for (const each of said) {
    if (typeof each !== 'number') hearing.hear(...each);
    vi.advanceTimersByTime(typeof each === 'number' ? each : 10);
  }
  vi.advanceTimersByTime(10_000);
  expect(verdicts).toHaveLength(1);
  return verdicts[0] as [string, number];
}

const killed = new RankError(1, 'ended with signal SIGKILL');
const cut = (rank: number): RankError => new RankError(rank, 'its link was cut');

describe('of ranks that fail one after another', () => {
  it('one that says what it failed at, or is seen to end, is at fault at once', () => {
    expect(verdict([1, killed])).toEqual([killed.message, 0]);
    expect(verdict([0, new InputError('--kv', '', 'is wrong')])).toEqual(['--kv: is wrong', 0]);
  });

  it('one whose end comes after the accusations of others is at fault in its own words', () => {
    expect(verdict([0, cut(2)], [2, cut(1)], [1, killed])).toEqual([killed.message, 20]);
  });

  it('one that all others name is at fault, whatever it says of them, once it could have said more', () => {
    expect(verdict([1, cut(0)], [0, cut(1)], [2, cut(1)])).toEqual(['rank 1: its link was cut', 300]);
  });

  it('one that a late witness makes the most accused is at fault at once', () => {
    const hung = new RankError(1, 'its link has been silent');
    expect(verdict([1, cut(0)], [0, hung], 1_000, [2, hung])).toEqual([hung.message, 1_020]);
  });

  it('of two that name each other the first to be named is at fault', () => {
    expect(verdict([0, cut(1)], [1, cut(0)])).toEqual(['rank 1: its link was cut', 2_500]);
  });
});

it.each([
  ['rank 1: its link was cut', 'rank 1: its link was cut (seen by rank 0)'],
  ['rank 2: it gave up: no memory', 'rank 2: it gave up: no memory (seen by rank 0)'],
  ['rank 2: it gave up: rank 1: its link was cut', 'rank 1: its link was cut (seen by rank 2)'],
  ['rank 3: it gave up: rank 2: it gave up: rank 1: hung', 'rank 1: hung (seen by rank 3)'],
  // Told that it is at fault itself, a rank can only say who said so.
  ['rank 2: it gave up: rank 0: its link was cut', 'rank 2: it gave up: rank 0: its link was cut (seen by rank 0)'],
])('rank 0, which fails with "%s", is a witness: "%s"', (message, told) => {
  const [, rank, problem] = /^rank (\d): (.*)$/.exec(message) as unknown as [string, string, string];
  expect(reviveFailure(0, describeFailure(new RankError(Number(rank), problem))).message).toBe(told);
});
