import { expect, it } from 'vitest';
import { describeFailure, reviveFailure } from '../../src/cluster/failure.ts';
import { AdapterError, InputError, RankError, SegmentError } from '../../src/errors.ts';

it.each([
  [new InputError('a.json', 'x', 'is missing'), 'InputError', 'a.json: x: is missing', 2],
  [new AdapterError('no adapter'), 'AdapterError', 'no adapter', 3],
  [new SegmentError('/dev/shm/s', 'magic', 'not an expert segment'), 'RankError', 'rank 3: segment /dev/shm/s: magic: not an expert segment', 1],
  [new RankError(3, 'closed'), 'RankError', 'rank 3: closed', 1],
  [new TypeError('x is not a function'), 'RankError', 'rank 3: x is not a function', 1],
  ['a string', 'RankError', 'rank 3: a string', 1],
])('a failure of a rank arrives as it must be told: %s', (error, name, message, exitCode) => {
  const revived = reviveFailure(3, describeFailure(error));
  expect([revived.name, revived.message, revived.exitCode]).toEqual([name, message, exitCode]);
  expect(revived.stack).toContain('in rank 3');
});
