import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { prefillFlops } from '../../src/model/flops.ts';
import { requestFlops } from '../../src/serving/request-flops.ts';
import { createScheduler } from '../../src/serving/scheduler.ts';
import { smallConfig } from '../sim/small-config.ts';
import { fakeLogits, fakeScores } from './fake-pool.ts';
import { after, asking, config, passesOf, prompt, start, watch } from './service-fixture.ts';

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

describe('answers', () => {
  it('each request gets the logits of its own candidates, in its order, whatever its fellows ask for', async () => {
    const { pool, service } = start();
    const requests = [asking(1, { candidates: [9, 3] }), asking(4, { candidates: [3, 200, 3] }), asking(7, { candidates: [60] })];
    const answers = Promise.all(requests.map((request) => service.submit(request)));
    await after(20);
    for (const [i, { logits }] of (await answers).entries()) expect([...logits]).toEqual(fakeLogits(requests[i]!.tokens, requests[i]!.candidates));
    expect(pool.given.map(({ work }) => [...work.candidates])).toEqual([[3, 9, 60, 200]]);
  });

  it('scored positions are cut apart, each request with as many top tokens as it asked for', async () => {
    const { pool, service } = start();
    const requests = [asking(1, { scored: 2, top: 1, candidates: [] }), asking(2), asking(3, { scored: 3, top: 4 }), asking(4, { scored: 1 })];
    const answers = Promise.all(requests.map((request) => service.submit(request)));
    await after(20);
    expect((await answers).map(({ scores }) => scores)).toEqual([
      fakeScores(requests[0]!.tokens, 2, 1), null, fakeScores(requests[2]!.tokens, 3, 4), fakeScores(requests[3]!.tokens, 1, 0),
    ]);
    expect(pool.given[0]?.work.top).toBe(4);
  });

  it('tells the time in the queue and in the pass, the engine, and what was cached', async () => {
    const { service } = start();
    const tokens = Uint32Array.from({ length: 40 }, (_, i) => i);
    const first = service.submit({ tokens, candidates: [1] });
    await after(20);
    const second = service.submit({ tokens, candidates: [1] });
    const third = service.submit({ tokens, candidates: [1], scored: 20 });
    await after(20);
    expect(await first).toMatchObject({ engine: 0, queuedMs: expect.closeTo(0, 3), computeMs: expect.closeTo(10, 3), cachedTokens: 0 });
    expect(await second).toMatchObject({ cachedTokens: 32 });
    expect(await third).toMatchObject({ cachedTokens: 16 });
  });

  it('a request that waits at its engine for the pass before it has not been computed yet', async () => {
    const { service } = start();
    void service.submit(asking(1));
    await after(4);
    const second = service.submit(asking(2));
    await after(20);
    expect(await second).toMatchObject({ queuedMs: expect.closeTo(6, 3), computeMs: expect.closeTo(10, 3) });
  });

  it('come as passes end, not as requests came', async () => {
    const { service } = start({ engines: 2, serviceMs: (_, engine) => (engine === 0 ? 100 : 10) });
    const slow = watch(service.submit(asking(1)));
    await after(1);
    const fast = watch(service.submit(asking(2)));
    await after(20);
    expect(slow).toEqual({});
    expect(fast).toMatchObject({ answer: { engine: 1 } });
    await after(100);
    expect(slow).toMatchObject({ answer: { engine: 0 } });
  });

  it('a request that asks for nothing, or for what there is not, is refused before it is queued', async () => {
    const { service } = start();
    await expect(service.submit({ tokens: prompt(), candidates: [1] })).rejects.toThrow('request: tokens: is empty; expected at least one token');
    await expect(service.submit(asking(1, { candidates: [] }))).rejects.toThrow('request: candidates: is empty and no position is scored; expected at least one token to ask for');
    await expect(service.submit(asking(1, { scored: 4 }))).rejects.toThrow("request: scored: 4; expected a whole number from 0 to 3, the prompt's length");
    await expect(service.submit(asking(1, { scored: 1, top: 21 }))).rejects.toThrow('request: top: 21; expected a whole number from 0 to 20');
    expect(service.snapshot().counts.accepted).toBe(0);
  });
});

describe('rounds', () => {
  it('a burst of 1,000 requests makes one round and one pass', async () => {
    const { pool, service, scheduler } = start();
    const answers = Promise.all(Array.from({ length: 1000 }, (_, i) => service.submit(asking(i % 256))));
    await vi.advanceTimersToNextTimerAsync();
    expect([scheduler.rounds, pool.given.length, pool.given[0]?.work.sequences.length]).toEqual([1, 1, 1000]);
    await after(10);
    expect((await answers).length).toBe(1000);
  });

  it('a batch below T leaves when its oldest request has waited long enough, by one timer', async () => {
    const { pool, service } = start({}, { threshold: 1e15, maxWaitMs: 50 });
    void service.submit(asking(1));
    await after(30);
    void service.submit(asking(2));
    await after(1);
    expect([pool.given.length, vi.getTimerCount()]).toEqual([0, 1]);
    await after(20);
    expect(passesOf(pool)).toEqual([[1, 2]]);
  });

  it('a batch that reaches T leaves at once', async () => {
    const threshold = 2 * prefillFlops(config, { newTokens: 3, candidates: 2 }, { lastLayerShortcut: true });
    const { pool, service } = start({}, { threshold });
    void service.submit(asking(1));
    await after(5);
    expect(pool.given.length).toBe(0);
    void service.submit(asking(2));
    await after(1);
    expect(passesOf(pool)).toEqual([[1, 2]]);
  });

  it('what waits for a free engine leaves when a pass ends; two passes are under way at most', async () => {
    const { pool, service } = start({}, { batchTokens: 3 });
    const answers = [1, 2, 3, 4].map((first) => watch(service.submit(asking(first))));
    await after(1);
    expect([pool.given.length, service.snapshot().waiting, service.snapshot().underWay]).toEqual([2, 2, 2]);
    await after(100);
    expect(answers.every(({ answer }) => answer !== undefined)).toBe(true);
    expect([passesOf(pool), pool.mostUnderWay]).toEqual([[[1], [2], [3], [4]], 2]);
  });

  it.each([['a batch of siblings has room for what they share', 1000, [2]], ['without a cache each sibling counts whole', 0, [1, 1]]])('%s', async (_, cacheBlocks, batches) => {
    const { pool, service } = start({ info: { cacheBlocks } }, { batchTokens: 60, createScheduler });
    const tokens = Uint32Array.from({ length: 40 }, (_, i) => i);
    // The second one computes 8 of its tokens where the first one's two blocks can be shared.
    const answers = [0, 1].map(() => service.submit({ tokens, candidates: [1] }));
    await after(100);
    await Promise.all(answers);
    expect(pool.given.map(({ work }) => work.sequences.length)).toEqual(batches);
  });

  it('engines that start later are used when they are ready', async () => {
    const { pool, service } = start({ starting: [0] });
    const request = watch(service.submit(asking(1)));
    await after(100);
    expect([service.ready, pool.given.length]).toEqual([false, 0]);
    pool.back(0);
    await after(20);
    expect([service.ready, request]).toMatchObject([true, { answer: { engine: 0 } }]);
  });

  it('the scheduler learns what came into the cache of an engine', async () => {
    const { service, scheduler } = start();
    void service.submit({ tokens: Uint32Array.from({ length: 40 }), candidates: [1] });
    await after(20);
    expect(scheduler.finishedWith.map((events) => [events?.materialised.length, events?.evicted.length])).toEqual([[2, 0]]);
  });
});

describe('FLOPs of a request', () => {
  it('are those of the whole model, also with dense layers', () => {
    const configs = [config, smallConfig({ mlp_only_layers: [0, 2] }), smallConfig({ mlp_only_layers: [3] }), smallConfig({ num_hidden_layers: 1 })];
    fc.assert(fc.property(fc.constantFrom(...configs), fc.nat(500), fc.integer({ min: 1, max: 500 }), fc.nat(20), fc.nat(30), (config, cachedTokens, newTokens, candidates, scored) => {
      const work = { cachedTokens, newTokens, candidates, scored: Math.min(scored, newTokens) };
      const expected = prefillFlops(config, work, { lastLayerShortcut: true });
      expect(requestFlops(config)(work) / expected).toBeCloseTo(1, 12);
    }));
  });

  it('are what the engine counted where nothing is cached, and only blocks before what is asked for can be', async () => {
    const { service, scheduler } = start({}, { threshold: 1e15 });
    const tokens = Uint32Array.from({ length: 48 }, (_, i) => i);
    void service.submit({ tokens, candidates: [1, 2], scored: 17 });
    void service.submit({ tokens, candidates: [1, 2] });
    await after(1);
    expect(scheduler.queue.map(({ cacheable, hashes }) => [cacheable, hashes.length])).toEqual([[1, 3], [2, 3]]);
    await after(100);
    const { passes } = service.snapshot();
    expect(passes[0]?.plannedFlops).toBe(passes[0]?.stats.flops);
  });
});

describe('the snapshot', () => {
  it('sums passes of each engine', async () => {
    const { pool, service } = start({ engines: 2 }, { batchTokens: 3, threshold: 1 });
    for (let i = 0; i < 6; i++) void service.submit(asking(i));
    await after(100);
    const { engines, passes, counts } = service.snapshot();
    expect(counts).toEqual({ accepted: 6, answered: 6, failed: 0, rejected: 0, cancelled: 0, retried: 0 });
    const flops = prefillFlops(config, { newTokens: 3, candidates: 2 }, { lastLayerShortcut: true });
    for (const engine of engines) {
      const own = pool.given.filter((given) => given.engine === engine.info.engine).length;
      expect(engine).toMatchObject({ passes: own, promptTokens: 3 * own, cachedTokens: 0, flops: flops * own, busyMs: expect.closeTo(10 * own, 3), exposedMs: 0.5 * own, belowThreshold: 0 });
    }
    expect(passes.length).toBe(6);
    expect(passes[0]).toMatchObject({ requests: 1, promptTokens: 3, plannedFlops: flops, fill: flops });
  });

  it('has the last 64 passes and at most 4,000 events, the newest last', async () => {
    const { pool, service } = start({}, { batchTokens: 3 });
    for (let i = 0; i < 70; i++) void service.submit(asking(i));
    const event = (startUs: number) => ({ name: 'layer 0', rank: 0, track: 'compute' as const, startUs, durationUs: 1 });
    for (let i = 0; i < 5; i++) pool.trace(Array.from({ length: 1500 }, (_, n) => event(i * 1500 + n)));
    await after(1000);
    const { passes, trace } = service.snapshot();
    expect(passes.map(({ stats }) => stats.pass)).toEqual(Array.from({ length: 64 }, (_, i) => i + 6));
    expect([trace.length, trace[0]?.startUs, trace.at(-1)?.startUs]).toEqual([3000, 4500, 7499]);
  });

  it('counts a pass below T', async () => {
    const { service } = start({}, { threshold: 1e15, maxWaitMs: 5 });
    void service.submit(asking(1));
    await after(100);
    expect(service.snapshot().engines[0]?.belowThreshold).toBe(1);
  });
});
