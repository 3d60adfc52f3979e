import { describe, expect, it } from 'vitest';
import { steadyFigures } from '../../src/sim/topology-figures.ts';
import type { RankPass } from '../../src/sim/topology-replay.ts';

const pass = (rank: number, startMs: number, endMs: number, computeMs: number, exposedMs = 0): RankPass =>
  ({ rank, startMs, endMs, computeMs, exposedMs, flops: computeMs * 10, tokens: 100, cachedTokens: 25, requests: 1 });
const OF = { ranks: 2, threshold: 500, flopsPerSecond: 10_000, peakFlopsPerSecond: 40_000 };

describe('figures while there is work for all', () => {
  // rank 0 computes 100 ms and 60 ms, rank 1 40 ms of 100 (20 exposed, 40 held), then a last batch from 100 to 300
  const run = { passes: [pass(0, 0, 100, 100), pass(1, 0, 100, 40, 20), pass(0, 100, 160, 60), pass(1, 100, 300, 200)], wallMs: 300 };

  it('count until the first rank has had its last batch, a batch under way by the part that is done', () => {
    const figures = steadyFigures(run, OF);
    expect(figures.windowMs).toBe(160);
    // 100 + 60 of rank 0, 40 + 60 of rank 1, of 2 x 160
    expect(figures.computeShare).toBeCloseTo(260 / 320, 12);
    expect(figures.exposedShare).toBeCloseTo(20 / 320, 12);
    expect(figures.heldShare).toBeCloseTo(40 / 320, 12);
    expect(figures.idleShare).toBeCloseTo(0, 12);
    expect(figures.tokensPerSecondPerRank).toBeCloseTo(((3 * 100 + (60 / 200) * 100) / 0.16) / 2, 9);
    expect(figures.mfu).toBeCloseTo((260 / 320) / 4, 12);
  });

  it('count hits, batches below T, tokens computed and balance of the whole run', () => {
    const figures = steadyFigures(run, OF);
    expect(figures).toMatchObject({ batches: 4, belowThreshold: 0.25, batchTokens: 75, hitRate: 0.25, wallMs: 300 });
    expect(figures.imbalance).toBeCloseTo((240 * 2) / 400, 12);
  });

  it('are those of the whole run where a rank had no batch', () => {
    expect(steadyFigures({ passes: [pass(0, 0, 100, 100)], wallMs: 100 }, OF)).toMatchObject({ windowMs: 100, computeShare: 0.5, idleShare: 0.5 });
  });
});
