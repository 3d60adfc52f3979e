/** Worlds of simulated engines, under every strategy: they do what the formulas say, and what a prediction of the same passes says. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jointPasses, splitIntoBatches } from '../../src/cluster/batching.ts';
import { requestFlops } from '../../src/serving/request-flops.ts';
import { predictRun } from '../../src/sim/cost.ts';
import { passShapeOf, takenInTurn } from '../../src/sim/passes.ts';
import { pipelineStages } from '../../src/sim/pipeline.ts';
import { hasOwnSequences, SIM_STRATEGIES, STRATEGY_KINDS, type RunShape, type SimStrategy } from '../../src/sim/run-shape.ts';
import { replay, type Replay } from '../../src/sim/serving/replay.ts';
import type { WorldOptions } from '../../src/sim/serving/world.ts';
import { traceOf } from '../../src/sim/trace.ts';
import { Work } from '../../src/sim/work.ts';
import { hostBytes, rowBytes, sum, weightBytes } from './byte-formulas.ts';
import { fixedScheduler } from './fixed-scheduler.ts';
import { inTurnScheduler } from './in-turn-scheduler.ts';
import { prompt } from './serving-prompts.ts';
import { smallConfig } from './small-config.ts';

const config = smallConfig();
const CANDIDATES = 4;

const machines = fc.record({
  ranks: fc.integer({ min: 1, max: 4 }), rate: fc.double({ min: 1e5, max: 1e9, noNaN: true }), latencyMs: fc.constantFrom(0, 0.05), hostBytesPerSecond: fc.constantFrom(1e6, 1e8),
  layers: fc.constantFrom(0, 0, 1, 2), depth: fc.integer({ min: 1, max: 3 }), dispatch: fc.constantFrom('rank' as const, 'expert' as const), speeds: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 4, maxLength: 4 }),
});
const worlds = (strategy: SimStrategy): fc.Arbitrary<WorldOptions> => machines.map(({ ranks, rate, latencyMs, hostBytesPerSecond, layers, depth, dispatch, speeds }) => ({
  config, strategy, ranks, candidates: CANDIDATES, flopsPerSecond: speeds.slice(0, ranks).map((speed) => speed * 1e8), link: { bytesPerSecond: rate, latencyMs }, hostBytesPerSecond,
  wire: 'bf16', weightBytes: 2, dispatch, depth, ...(strategy !== 'resident' && { offload: { layers } }),
}));
const requests = fc.array(fc.record({ tokens: fc.integer({ min: 1, max: 200 }), group: fc.integer({ min: 0, max: 3 }), shared: fc.integer({ min: 0, max: 12 }), arrivalMs: fc.constantFrom(0, 0, 3, 50) }), { minLength: 1, maxLength: 16 });

const enginesOf = ({ strategy, ranks }: WorldOptions): number => (hasOwnSequences(strategy) ? ranks : 1);
const play = (world: WorldOptions, all: readonly { tokens: number; group: number; shared: number; arrivalMs: number }[], requestsPerBatch: number, keptPasses = 0): Replay => replay({
  prompts: all.map(({ tokens, group, shared, arrivalMs }, index) => prompt(index, tokens, { group, shared, arrivalMs })).toSorted((a, b) => a.arrivalMs - b.arrivalMs),
  scheduler: inTurnScheduler(enginesOf(world), requestsPerBatch), world, cacheBlocks: 40, flops: requestFlops(config), keptPasses,
});

/** Layers of each stage. */
const stageLayers = (ranks: number) => (rank: number): Set<number> => {
  const { first, count } = pipelineStages(config, ranks)[rank] as { first: number; count: number };
  return new Set(Array.from({ length: count }, (_, i) => first + i));
};

describe.each(SIM_STRATEGIES)('a workload under %s', (strategy) => {
  const joint = STRATEGY_KINDS[strategy] !== 'streaming';

  it('computes the FLOPs of its batches, given the hits, and more only where ranks share a key-value head', () => {
    fc.assert(fc.property(worlds(strategy), requests, fc.integer({ min: 1, max: 4 }), (world, all, requestsPerBatch) => {
      const { passes, totals } = play(world, all, requestsPerBatch);
      const copies = strategy === 'tp' || strategy === 'tp-ep' ? Math.max(0, world.ranks - config.numKeyValueHeads) : 0;
      const again = 4 * sum(all.map(({ tokens }) => tokens)) * config.hiddenSize * config.headDim * copies * config.numHiddenLayers;
      expect(sum([...totals.flops]) / (sum(passes.map(({ flops }) => flops)) + again)).toBeCloseTo(1, 12);
      expect(joint ? sum(passes.map(({ cachedTokens }) => cachedTokens)) : 0).toBe(0);
    }), { numRuns: 12 });
  });

  it('moves as many bytes between ranks, and from host memory, as the formulas say', () => {
    fc.assert(fc.property(worlds(strategy), requests, fc.integer({ min: 1, max: 4 }), (world, all, requestsPerBatch) => {
      const { passes, totals } = play(world, all, requestsPerBatch);
      const batches = passes.map(({ batch }) => ({ engine: batch.engine, lengths: batch.requests.map(({ tokens }) => tokens) }));
      const ofRank = Array.from({ length: world.ranks }, (_, rank) => batches.filter(({ engine }) => engine === rank).length);
      // Rows are linear in sequences where each rank has its own, so it does not matter which batches rode together.
      const parts = batches.map(({ engine, lengths }) => (hasOwnSequences(strategy) ? ofRank.map((_, rank) => (rank === engine ? lengths : [])) : [lengths]));
      const { sent, received } = joint ? rowBytes(world, parts) : weightBytes(world, ofRank);
      for (let rank = 0; rank < world.ranks; rank++) {
        expect(totals.sentBytes[rank]).toBeCloseTo(sent[rank] as number, 4);
        expect(totals.receivedBytes[rank]).toBeCloseTo(received[rank] as number, 4);
      }
      if (joint && hasOwnSequences(strategy)) return; // how many passes there were is not told
      const loaded = hostBytes(world, { passes: joint ? ofRank.map(() => batches.length) : ofRank, rounds: batches.length, layersOf: stageLayers(world.ranks) });
      for (let rank = 0; rank < world.ranks; rank++) expect(totals.loadedBytes[rank]).toBeCloseTo(loaded[rank] as number, 4);
    }), { numRuns: 12 });
  });

  it('takes as long as the prediction of the same passes, where all requests are there and the scheduler has no choice', () => {
    const tasks = fc.record({ lengths: fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 12 }), batchTokens: fc.integer({ min: 20, max: 300 }), inFlight: fc.constantFrom(1, 2) });
    fc.assert(fc.property(worlds(strategy), tasks, (options, { lengths, batchTokens, inFlight }) => {
      // A server's rounds are of one pass each: so are those of a run with one pass at a time.
      const { offload: _, ...kept } = options;
      const world = { ...(joint && inFlight > 1 ? kept : options), inFlight };
      const shape: RunShape = { ...world, lengths, batchTokens };
      const batches = joint
        ? Array.from({ length: enginesOf(world) }, (_, engine) => jointPasses(lengths, passShapeOf(shape)).flatMap((parts) => (parts[engine]?.length === 0 ? [] : [parts[engine] as readonly number[]])))
        : takenInTurn(splitIntoBatches(lengths, batchTokens, world.ranks), world.ranks, (batch, rank) =>
          new Work(config, batch.map((index) => lengths[index] as number)).allFlops(CANDIDATES) / ((world.flopsPerSecond as number[])[rank] as number));
      const { wallMs, totals } = replay({
        prompts: lengths.map((tokens, index) => prompt(index, tokens)), scheduler: fixedScheduler(batches), world, cacheBlocks: 0, flops: requestFlops(config),
      });
      const predicted = predictRun(shape);
      // Of passes that meet on a link at the very same time another may go first.
      const tolerance = joint && inFlight > 1 ? 0.05 : 1e-9;
      // A prediction ends with the last logits; a rank without sequences may be done only when the others' last messages, empty ones, have come.
      const { steps, endMs } = predicted.schedule;
      const overMs = steps.reduce((last, { kind }, step) => (kind === 'compute' || kind === 'message' ? Math.max(last, endMs[step] as number) : last), 0);
      expect(wallMs).toBeGreaterThan(predicted.wallMs * (1 - tolerance));
      expect(wallMs).toBeLessThan(overMs * (1 + tolerance));
      for (const { rank, flops } of predicted.ranks) expect(totals.flops[rank]).toBeCloseTo(flops, 0);
    }), { numRuns: 15 });
  });

  it('is the same twice, to the bit', () => {
    fc.assert(fc.property(worlds(strategy), requests, (world, all) => {
      const [one, other] = [play(world, all, 2), play(world, all, 2)];
      expect([...other.answeredMs]).toEqual([...one.answeredMs]);
      expect([other.busyMs, [...other.totals.sentBytes]]).toEqual([one.busyMs, [...one.totals.sentBytes]]);
    }), { numRuns: 4 });
  });

  it('shows its first passes as the trace of a run', () => {
    const world = fc.sample(worlds(strategy), { numRuns: 1, seed: 3 })[0] as WorldOptions;
    const all = Array.from({ length: 8 }, (_, i) => ({ tokens: 60 + i, group: i, shared: 0, arrivalMs: 0 }));
    const whole = play(world, all, 2, Infinity);
    const events = traceOf(whole.schedule as NonNullable<Replay['schedule']>);
    const computeUs = sum(events.filter(({ track }) => track === 'compute').map(({ durationUs }) => durationUs));
    expect(computeUs / 1000 / sum([...whole.totals.computeMs])).toBeCloseTo(1, 9);
    const first = traceOf(play(world, all, 2, 1).schedule as NonNullable<Replay['schedule']>);
    expect(new Set(first.map(({ args }) => args?.['pass']))).toEqual(new Set([0]));
    expect(first.length).toBeLessThan(events.length);
  });
});

describe('ranks whose passes need all of them', () => {
  const world: WorldOptions = {
    config, strategy: 'ep', ranks: 2, candidates: CANDIDATES, flopsPerSecond: 1e9, link: { bytesPerSecond: 1e7, latencyMs: 0 }, wire: 'bf16', weightBytes: 2, dispatch: 'rank',
  };
  const run = (batches: readonly (readonly (readonly number[])[])[], lengths: readonly number[]): Replay =>
    replay({ prompts: lengths.map((tokens, index) => prompt(index, tokens)), scheduler: fixedScheduler(batches), world, cacheBlocks: 0, flops: requestFlops(config) });

  it('take part in a pass without a batch of their own', () => {
    const { totals } = run([[[0]], []], [100]);
    expect(totals.flops[1]).toBeGreaterThan(0.2 * (totals.flops[0] as number));
  });

  it('go in lock step: the short batch is answered with the long one that left with it', () => {
    const { passes } = run([[[0]], [[1]]], [400, 16]);
    const [short, long] = passes.toSorted((a, b) => a.tokens - b.tokens);
    const aloneMs = run([[], [[0]]], [16]).wallMs;
    expect(short?.endMs).toBeGreaterThan(5 * aloneMs);
    expect((long?.endMs as number) / (short?.endMs as number)).toBeCloseTo(1, 1);
  });
});

describe('a world of more ranks than experts', () => {
  it('has shards cut by bytes, and gathers as long as it is told', () => {
    const [ranks, gatherMs] = [20, 5];
    const world: WorldOptions = { config, strategy: 'asyncep', ranks, candidates: CANDIDATES, flopsPerSecond: 1e12, link: null, gatherMs, wire: 'bf16', weightBytes: 2, dispatch: 'rank' };
    const lengths = Array.from({ length: 2 * ranks }, () => 16);
    const { totals, passes } = replay({ prompts: lengths.map((tokens, index) => prompt(index, tokens)), scheduler: inTurnScheduler(ranks, 1), world, cacheBlocks: 0, flops: requestFlops(config) });
    const layerBytes = config.numExperts * 3 * config.hiddenSize * config.moeIntermediateSize * 2;
    // Two passes of three layers each.
    expect(totals.receivedBytes[7]).toBeCloseTo((6 * layerBytes * (ranks - 1)) / ranks, 3);
    expect(totals.sentBytes[7]).toBeCloseTo((6 * layerBytes * (ranks - 1)) / ranks, 3);
    // One gather is behind the start (two layers were there), three more behind the next pass.
    expect(passes.at(-1)?.endMs).toBeGreaterThan(4 * gatherMs);
    expect(passes.at(-1)?.endMs).toBeLessThan(4 * gatherMs + 0.1);
  });
});
