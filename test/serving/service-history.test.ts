import { expect, it } from 'vitest';
import type { ServedPass } from '../../src/serving/service.ts';
import { History } from '../../src/serving/history.ts';

const pass = (startEpochMs: number, wallMs: number): ServedPass => ({
  engine: 0, requests: 1, promptTokens: 10, cachedTokens: 0, plannedFlops: 100, fill: 1, endedMs: startEpochMs + wallMs,
  stats: {
    pass: 0, rank: 0, sequences: 1, tokens: 10, flops: 100, startEpochMs, wallMs, gatherMs: 0, copyMs: 0, waitedMs: 0, exposedMs: 0,
    hostBytes: 0, sentBytes: 0, receivedBytes: 0, transferMs: 0, expertRows: 0, engine: {},
  },
});

it('time in which two passes of an engine are under way is busy once, and idle time not at all', () => {
  const history = new History(1, 0);
  for (const [start, wall] of [[1000, 30], [1010, 40], [1015, 5], [1100, 10]] as const) history.record(pass(start, wall), 500);
  expect(history.sums(0).busyMs).toBe(50 + 10);
  expect(history.engineFlopsPerSecond).toBeCloseTo((4 * 500) / 0.06, 6);
});

it('there is no pace before the first pass', () => {
  expect(new History(2, 0).engineFlopsPerSecond).toBeNull();
});
