import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as exchange from '../../src/runtime/kernels/exchange.ts';
import { allGather, dispatchRows, packetBytes, receivedBy, reduceScatter, rowsPerToken, sentBy, transposed } from '../../src/sim/collectives.ts';

const rowCounts = fc.array(fc.integer({ min: 0, max: 5000 }), { minLength: 1, maxLength: 8 });
const rowBytes = fc.integer({ min: 1, max: 20_000 });

describe('bytes of collectives', () => {
  it('all-gather: a rank sends its rows P - 1 times and receives all others\'', () => {
    fc.assert(fc.property(rowCounts, rowBytes, (rows, bytes) => {
      const total = rows.reduce((sum, count) => sum + count, 0);
      for (const [rank, own] of rows.entries()) {
        expect(sentBy(allGather(rows, bytes), rank)).toBe((rows.length - 1) * own * bytes);
        expect(receivedBy(allGather(rows, bytes), rank)).toBe((total - own) * bytes);
      }
    }));
  });

  it('reduce-scatter is its mirror', () => {
    fc.assert(fc.property(rowCounts, rowBytes, (rows, bytes) => {
      for (const rank of rows.keys()) {
        expect(sentBy(reduceScatter(rows, bytes), rank)).toBe(receivedBy(allGather(rows, bytes), rank));
        expect(receivedBy(reduceScatter(rows, bytes), rank)).toBe(sentBy(allGather(rows, bytes), rank));
      }
    }));
  });

  it('what is sent is received, and what is given back goes the way it came', () => {
    fc.assert(fc.property(rowCounts, rowBytes, (tokens, bytes) => {
      const out = dispatchRows(tokens, tokens.map((_, rank) => (rank + 1) / 10), bytes);
      const ranks = [...tokens.keys()];
      const all = (of: (rank: number) => number): number => ranks.reduce((sum, rank) => sum + of(rank), 0);
      expect(all((rank) => sentBy(out, rank))).toBeCloseTo(all((rank) => receivedBy(out, rank)), 6);
      for (const rank of ranks) expect(sentBy(transposed(out), rank)).toBeCloseTo(receivedBy(out, rank), 6);
    }));
  });

  it('a packet weighs what the kernels write', () => {
    for (const wire of ['f32', 'f16', 'bf16'] as const) {
      for (const hidden of [1, 32, 33, 4096]) for (const choices of [0, 1, 8]) expect(packetBytes(hidden, wire, choices)).toBe(exchange.packetBytes(hidden, wire, choices));
    }
  });
});

describe('rows of a dispatch', () => {
  it('per expert: k times the rank\'s share', () => {
    expect(rowsPerToken('expert', 16, 128, 8)).toBe(1);
    expect(rowsPerToken('expert', 4, 8, 2)).toBe(1);
  });

  it('per rank: at most once, as all subsets of experts say', () => {
    // 2 of 4 experts chosen, 2 of them here: 5 of the 6 pairs have one of ours.
    expect(rowsPerToken('rank', 2, 4, 2)).toBeCloseTo(5 / 6, 12);
    // 3 of 5 chosen, 1 here: 6 of 10.
    expect(rowsPerToken('rank', 1, 5, 3)).toBeCloseTo(6 / 10, 12);
    expect(rowsPerToken('rank', 4, 4, 1)).toBe(1);
  });

  it('per rank is never more than per expert', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 0, max: 112 }), fc.integer({ min: 1, max: 8 }), (owned, others, topK) => {
      const experts = owned + Math.max(others, topK);
      expect(rowsPerToken('rank', owned, experts, topK)).toBeLessThanOrEqual(Math.min(1, rowsPerToken('expert', owned, experts, topK)) + 1e-12);
    }));
  });
});
