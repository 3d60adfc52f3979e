import { describe, expect, it } from 'vitest';
import { SCHEDULERS, type SchedulerKind } from '../../src/serving/scheduling.ts';
import { gainOver } from '../../src/sim/serving/figures.ts';
import type { Machine } from '../../src/sim/serving/machine.ts';
import { bestHitRate, type ServingWorkload } from '../../src/sim/serving/prompts.ts';
import { runRouter, workloadFlops } from '../../src/sim/serving/run.ts';
import { documents, prompt } from './serving-prompts.ts';
import { smallConfig } from './small-config.ts';

const config = smallConfig();
const [DOCUMENTS, SIBLINGS, TOKENS, SHARED] = [40, 8, 400, 20];
const tokens = DOCUMENTS * SIBLINGS * TOKENS;
/** Questions on one document come one after the other. */
const workload: ServingWorkload = {
  name: 'documents', tokens, timed: false, assumptions: [],
  prompts: documents(DOCUMENTS, SIBLINGS, { tokens: TOKENS, shared: SHARED }).toSorted((a, b) => (a.hashes[0] as number) - (b.hashes[0] as number)),
};
const promptFlops = workloadFlops({ ...workload, prompts: [prompt(0, TOKENS)] }, config).all;

/** T is the work of so many prompts without a cache; kernels reach half of the peak, and a full batch computes 1.5 times as long as its gathers last. */
const machine = (engines: number, promptsInThreshold: number): Machine => {
  const [flopsPerSecond, threshold] = [1e12, promptsInThreshold * promptFlops];
  const gatherMs = (threshold / flopsPerSecond) * 1000 / 4 / 1.5;
  return {
    ranks: engines, engines, threshold, flopsPerSecond, peakFlopsPerSecond: 2e12, moeLayers: 4, gatherMs, lines: [],
    world: { strategy: 'asyncep', ranks: engines, flopsPerSecond, link: null, gatherMs, wire: 'bf16', weightBytes: 2, dispatch: 'rank' },
  };
};

const run = (scheduler: SchedulerKind, engines: number, { promptsInThreshold = 3, cacheTokens = 200_000, seed = 1, of = workload } = {}) =>
  runRouter({ workload: of, scheduler, machine: machine(engines, promptsInThreshold), config, cacheTokens, batchTokens: 20 * TOKENS, maxWaitMs: 1000, seed });

describe.each(SCHEDULERS)('a run of %s', (kind) => {
  it('is the same for the same seed', () => {
    expect(run(kind, 4)).toEqual(run(kind, 4));
  });

  it('serves every token once, and all time is compute, waiting for experts, or idle', () => {
    const { figures } = run(kind, 3);
    expect(figures.promptTokens).toBe(tokens);
    expect(figures.computeShare + figures.exposedShare + figures.idleShare).toBeCloseTo(1, 12);
    expect(figures.mfu).toBeCloseTo(figures.computeShare / 2, 12);
    expect(figures.tokensPerSecond).toBeCloseTo(tokens / (figures.wallMs / 1000), 6);
  });

  it('on one engine that forgets nothing has every hit that there is, and computes what is left', () => {
    const { figures } = run(kind, 1);
    const best = ((SIBLINGS - 1) * 16 * SHARED) / (SIBLINGS * TOKENS);
    expect(bestHitRate(workload, 16)).toBeCloseTo(best, 12);
    expect(figures.hitRate).toBeCloseTo(best, 12);
    expect(figures.imbalance).toBe(1);
    expect(figures.flops).toBeLessThan(workloadFlops(workload, config).all);
  });
});

describe('the prefix scheduler', () => {
  it.each([1, 2, 4, 8])('on %d engines has no saturated batch outside [T, T + its last request)', (engines) => {
    const { figures } = run('prefix', engines);
    expect(figures.outsideBound).toBe(0);
    expect(figures.belowThreshold).toBeLessThan(1);
  });

  it('keeps more of the hits than those that do not look, and computes less', () => {
    const [prefix, leastLoaded, random] = (['prefix', 'least-loaded', 'random'] as const).map((kind) => run(kind, 4, { cacheTokens: 4 * TOKENS }).figures);
    for (const other of [leastLoaded, random]) {
      expect(prefix?.hitRate).toBeGreaterThan(other?.hitRate as number);
      expect(prefix?.flops).toBeLessThan(other?.flops as number);
    }
  });
});

describe('figures', () => {
  it('of a gain multiply: work x hiding x busy = throughput', () => {
    const [prefix, base] = [run('prefix', 4, { promptsInThreshold: 6 }).figures, run('random', 4, { promptsInThreshold: 6 }).figures];
    const { throughput, work, hiding, busy } = gainOver(prefix, base);
    expect(throughput).toBeCloseTo(prefix.tokensPerSecond / base.tokensPerSecond, 12);
    expect(work * hiding * busy).toBeCloseTo(throughput, 9);
  });

  it('have latencies where arrivals have times: one after the other on an idle engine, each waits for its own pass', () => {
    const apart = 10_000;
    const prompts = Array.from({ length: 9 }, (_, index) => prompt(index, TOKENS, { arrivalMs: index * apart }));
    const timed: ServingWorkload = { ...workload, prompts, tokens: 9 * TOKENS, timed: true };
    // Two of the three layers that travel were read while there was nothing to do; the third is there before it is needed.
    const passMs = (promptFlops / 1e12) * 1000;
    const { figures } = run('least-loaded', 1, { of: timed });
    expect(figures.latencyMs?.p50).toBeCloseTo(passMs, 3);
    expect(figures.latencyMs?.p99).toBeCloseTo(passMs, 3);
    // Below T, the paper's batch is held back: for a second.
    expect(run('prefix', 1, { of: timed }).figures.latencyMs?.p50).toBeCloseTo(1000 + passMs, 3);
  });
});

describe('a strategy without a prefix cache', () => {
  it('has no hits, and no batch beyond what memory allows although prompts share prefixes', () => {
    const limit = 5 * TOKENS;
    const plain = machine(2, 3);
    const { figures } = runRouter({
      workload, scheduler: 'grouped', machine: { ...plain, threshold: 0, gatherMs: 0, world: { ...plain.world, strategy: 'ep' } }, config, cacheTokens: 200_000, batchTokens: limit, maxWaitMs: 1000, seed: 1,
    });
    expect(figures.hitRate).toBe(0);
    expect(figures.batches).toBe(tokens / limit);
    expect(figures.flops / workloadFlops(workload, config).all).toBeCloseTo(1, 2);
  });
});
