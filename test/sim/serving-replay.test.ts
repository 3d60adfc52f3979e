import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { layerFlops, prefillFlops } from '../../src/model/flops.ts';
import { requestFlops } from '../../src/serving/request-flops.ts';
import type { Scheduler } from '../../src/serving/scheduling.ts';
import { EngineCache } from '../../src/sim/serving/engine-cache.ts';
import { bestHitRate, type Prompt } from '../../src/sim/serving/prompts.ts';
import { replay, type Replay, type ReplayObserver } from '../../src/sim/serving/replay.ts';
import type { SimRequest } from '../../src/sim/serving/request.ts';
import { inTurnScheduler } from './in-turn-scheduler.ts';
import { documents, prompt } from './serving-prompts.ts';
import { smallConfig } from './small-config.ts';

const config = smallConfig();
const ENOUGH_BLOCKS = 2000;
const FLOPS_PER_SECOND = 1e9;

interface Options {
  readonly engines?: number;
  readonly requestsPerBatch?: number;
  readonly cacheBlocks?: number;
  readonly gatherMs?: number;
  readonly scheduler?: Scheduler<SimRequest>;
  readonly observer?: ReplayObserver;
}

const play = (prompts: readonly Prompt[], { engines = 1, requestsPerBatch = 4, cacheBlocks = ENOUGH_BLOCKS, gatherMs = 0, scheduler, observer }: Options = {}): Replay => replay({
  prompts, scheduler: scheduler ?? inTurnScheduler(engines, requestsPerBatch), cacheBlocks, flops: requestFlops(config),
  world: { config, strategy: 'asyncep', ranks: engines, candidates: 4, flopsPerSecond: FLOPS_PER_SECOND, link: null, gatherMs, wire: 'bf16', weightBytes: 2, dispatch: 'rank' },
  ...(observer !== undefined && { observer }),
});

const sum = (values: Iterable<number>): number => [...values].reduce((all, value) => all + value, 0);
const flopsOf = (tokens: number, cachedTokens = 0): number => prefillFlops(config, { newTokens: tokens - cachedTokens, cachedTokens, candidates: 4 }, { lastLayerShortcut: true });
const msOf = (flops: number): number => (flops / FLOPS_PER_SECOND) * 1000;

describe('a simulated engine', () => {
  it('takes exactly FLOPs / rate where nothing is gathered', () => {
    const { wallMs, busyMs, totals } = play([prompt(0, 100), prompt(1, 37)]);
    expect(wallMs).toBeCloseTo(msOf(flopsOf(100) + flopsOf(37)), 9);
    expect([busyMs, totals.computeMs[0]]).toEqual([expect.closeTo(wallMs, 9), expect.closeTo(wallMs, 9)]);
  });

  it('waits for t_EP of every layer but the first where compute is shorter', () => {
    const gatherMs = msOf(flopsOf(16)); // of a layer: as long as all four of them compute
    const { passes, busyMs, totals } = play(Array.from({ length: 5 }, (_, i) => prompt(i, 16)), { requestsPerBatch: 1, gatherMs });
    // Two layers are there; the others come one after another, three for each pass, and only the last layer's compute is behind the last of them.
    const last = layerFlops(config, 3, { newTokens: 16 }, true);
    const lastMs = msOf(last.projections + last.attention + last.router + last.experts + last.dense + 2 * config.hiddenSize * 4);
    expect(passes.map(({ endMs }) => endMs)).toEqual([1, 4, 7, 10, 13].map((gathers) => expect.closeTo(gathers * gatherMs + lastMs, 6) as number));
    expect(busyMs - (totals.computeMs[0] as number)).toBeCloseTo(13 * gatherMs + lastMs - 5 * gatherMs, 6);
  });

  it('hides the gathers behind compute that is longer', () => {
    const { wallMs } = play(Array.from({ length: 3 }, (_, i) => prompt(i, 2000)), { requestsPerBatch: 1, gatherMs: msOf(flopsOf(16)) });
    expect(wallMs).toBeCloseTo(3 * msOf(flopsOf(2000)), 6);
  });

  it('computes one batch after the other while a second one waits', () => {
    const { passes } = play([prompt(0, 64), prompt(1, 64), prompt(2, 64)], { requestsPerBatch: 1 });
    const each = msOf(flopsOf(64));
    expect(passes.map(({ startMs }) => startMs)).toEqual([0, expect.closeTo(each, 6), expect.closeTo(2 * each, 6)]);
  });

  it('begins a batch when its requests have arrived', () => {
    const { passes, answeredMs } = play([prompt(0, 64), prompt(1, 64, { arrivalMs: 5000 }), prompt(2, 64, { arrivalMs: 5000 })], { requestsPerBatch: 1 });
    const each = msOf(flopsOf(64));
    expect(each).toBeLessThan(5000);
    expect(passes.map(({ startMs }) => startMs)).toEqual([0, 5000, expect.closeTo(5000 + each, 6)]);
    expect([...answeredMs]).toEqual([expect.closeTo(each, 6), expect.closeTo(5000 + each, 6), expect.closeTo(5000 + 2 * each, 6)]);
  });
});

describe('the cache of a simulated engine', () => {
  const [groups, siblings, tokens, shared] = [5, 6, 200, 7];

  it('that forgets nothing computes every shared block once: hits = (siblings - 1) x 16 shared / (siblings x tokens)', () => {
    const prompts = documents(groups, siblings, { tokens, shared });
    const expected = ((siblings - 1) * 16 * shared) / (siblings * tokens);
    const { passes } = play(prompts);
    expect(sum(passes.map(({ cachedTokens }) => cachedTokens)) / (groups * siblings * tokens)).toBeCloseTo(expected, 12);
    expect(bestHitRate({ prompts, tokens: groups * siblings * tokens }, 16)).toBeCloseTo(expected, 12);
  });

  it('of no blocks still lets the requests of a batch share', () => {
    const { passes } = play(documents(1, 6, { tokens, shared }), { requestsPerBatch: 3, cacheBlocks: 0 });
    expect(passes.map(({ cachedTokens }) => cachedTokens)).toEqual([2 * 16 * shared, 2 * 16 * shared]);
  });

  it('needs room for what comes between siblings, and for the prefix itself: of a prompt the end is forgotten first', () => {
    const between = (groups - 1) * Math.floor(tokens / 16);
    const cachedWith = (cacheBlocks: number): number =>
      sum(play(documents(groups, siblings, { tokens, shared }), { requestsPerBatch: 1, cacheBlocks }).passes.map(({ cachedTokens }) => cachedTokens));
    expect(cachedWith(between)).toBe(0);
    expect(cachedWith(between + shared)).toBe(groups * (siblings - 1) * 16 * shared);
  });

  it('computes the last token of a prompt that was there before', () => {
    const same = prompt(0, 64);
    expect(play([same, same], { requestsPerBatch: 1 }).passes.map(({ cachedTokens }) => cachedTokens)).toEqual([0, 48]);
  });

  it('tells what came and what left: what is there is the difference, and never more than it holds', () => {
    const [capacity, prompts] = [20, documents(3, 4, { tokens: 100, shared: 3 })];
    const cache = new EngineCache(capacity);
    const there = new Set<number>();
    for (const one of prompts) {
      const { materialised, evicted } = cache.plan([one]).events;
      for (const hash of evicted) expect(there.delete(hash)).toBe(true);
      for (const hash of materialised) there.add(hash);
      expect(there.size).toBeLessThanOrEqual(capacity);
    }
    expect(there.size).toBe(capacity);
  });
});

describe('a replay', () => {
  it('computes the true FLOPs, given the hits, and answers every request once', () => {
    const workloads = fc.array(fc.record({ tokens: fc.integer({ min: 1, max: 300 }), group: fc.integer({ min: 0, max: 3 }), shared: fc.integer({ min: 0, max: 18 }) }), { minLength: 1, maxLength: 30 });
    fc.assert(fc.property(workloads, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 5 }), (all, engines, requestsPerBatch) => {
      const prompts = all.map(({ tokens, group, shared }, index) => prompt(index, tokens, { group, shared }));
      const { passes, answeredMs } = play(prompts, { engines, requestsPerBatch });
      const seen = Array.from({ length: engines }, () => new Set<number>());
      const expected = passes.map(({ batch }) => sum(batch.requests.map(({ tokens, hashes }) => {
        const known = seen[batch.engine] as Set<number>;
        const most = Math.floor((tokens - 1) / 16);
        let blocks = 0;
        while (blocks < most && known.has(hashes[blocks] as number)) blocks++;
        for (const hash of hashes) known.add(hash);
        return flopsOf(tokens, 16 * blocks);
      })));
      expect(sum(passes.map(({ flops }) => flops)) / sum(expected)).toBeCloseTo(1, 9);
      expect(passes.flatMap(({ batch }) => batch.requests.map(({ id }) => id)).toSorted((a, b) => a - b)).toEqual(prompts.map((_, index) => index));
      expect([...answeredMs].every((ms) => ms > 0)).toBe(true);
    }));
  });

  it('tells an observer who came, what left and what ended, with the hits of each request; all is as without one', () => {
    const prompts = documents(2, 3, { tokens: 64, shared: 2 }).map((one, index) => ({ ...one, arrivalMs: index * 10 }));
    const told: string[] = [];
    const observer: ReplayObserver = {
      round: (nowMs, arrived, left) => void (arrived + left.length > 0 && told.push(`${nowMs} ms: ${arrived} came, [${left.map(({ requests }) => requests.map(({ id }) => id))}] left`)),
      ended: ({ batch: { requests } }, { cachedTokens, events }) => void told.push(`[${requests.map(({ id }) => id)}] ended: ${cachedTokens} tokens were there, ${events.materialised.length} blocks came`),
    };
    const observed = play(prompts, { engines: 2, requestsPerBatch: 3, observer });
    expect(told).toMatchInlineSnapshot(`
      [
        "0 ms: 1 came, [] left",
        "10 ms: 1 came, [] left",
        "20 ms: 1 came, [0,1,2] left",
        "30 ms: 1 came, [] left",
        "[0,1,2] ended: 0,0,32 tokens were there, 10 blocks came",
        "40 ms: 1 came, [] left",
        "50 ms: 1 came, [3,4,5] left",
        "[3,4,5] ended: 0,0,32 tokens were there, 10 blocks came",
      ]
    `);
    expect(observed.answeredMs).toEqual(play(prompts, { engines: 2, requestsPerBatch: 3 }).answeredMs);
  });

  it('is stopped when the scheduler keeps a request', () => {
    const keeping: Scheduler<SimRequest> = { ...inTurnScheduler<SimRequest>(1, 4), round: () => [], waiting: 1 };
    expect(() => play([prompt(0, 64)], { scheduler: keeping })).toThrow('the scheduler keeps 1 requests although nothing more will happen');
  });

  it('is stopped when the scheduler gives a request out twice', () => {
    const plain = inTurnScheduler<SimRequest>(1, 1);
    const twice: Scheduler<SimRequest> = { ...plain, round: (nowMs, drain) => plain.round(nowMs, drain).flatMap((batch) => [batch, batch]) };
    expect(() => play([prompt(0, 64)], { scheduler: twice })).toThrow('request 0 was answered twice');
  });

  it('is stopped when the scheduler gives an engine a third batch', () => {
    const plain = inTurnScheduler<SimRequest>(3, 1);
    const flooding: Scheduler<SimRequest> = { ...plain, round: (nowMs, drain) => plain.round(nowMs, drain).map((batch) => ({ ...batch, engine: 0 })) };
    expect(() => play([prompt(0, 64), prompt(1, 64), prompt(2, 64)], { scheduler: flooding })).toThrow('engine 0 has 2 batches under way and was given another');
  });

  it('is stopped when the scheduler wants to be asked again and again without a batch', () => {
    const plain = inTurnScheduler<SimRequest>(1, 4);
    const wanting: Scheduler<SimRequest> = { ...plain, round: () => [], nextLeaveMs: () => 7 };
    expect(() => play([prompt(0, 64)], { scheduler: wanting })).toThrow('the scheduler wants a batch to leave at 7 ms and lets none leave');
  });
});
