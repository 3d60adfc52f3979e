import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { prefillFlops } from '../../src/model/flops.ts';
import { after, asking, config, start, watch, type Watched } from './service-fixture.ts';

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

describe('a full queue', () => {
  const flopsOfOne = prefillFlops(config, { newTokens: 3, candidates: 2 }, { lastLayerShortcut: true });

  it('refuses more, with the time that the engines of the warm-up need for what waits', async () => {
    // Two engines of so many FLOP/s need 20 s for ten requests.
    const { service } = start({ engines: 2, starting: [0, 1], info: { measuredFlopsPerSecond: flopsOfOne / 4 } }, { maxWaiting: 10 });
    for (let i = 0; i < 10; i++) void service.submit(asking(i));
    await expect(service.submit(asking(1))).rejects.toMatchObject({ name: 'OverloadedError', waiting: 10, retryAfterSeconds: 20, message: '10 requests are waiting, no more are taken; try again in 20 s' });
    expect(service.snapshot()).toMatchObject({ waiting: 10, counts: { accepted: 10, rejected: 1 } });
  });

  it('reckons with the pace of the last passes once there are some, and takes requests again when some have left', async () => {
    const { service } = start({ serviceMs: () => 3000 }, { batchTokens: 3, maxWaiting: 4 });
    void service.submit(asking(0));
    await after(4000);
    const outcomes = [1, 2, 3, 4].map((first) => watch(service.submit(asking(first))));
    await expect(service.submit(asking(5))).rejects.toMatchObject({ retryAfterSeconds: 12 });
    await after(1);
    outcomes.push(watch(service.submit(asking(6))));
    await after(20_000);
    expect(outcomes.every(({ answer }) => answer !== undefined)).toBe(true);
  });

  it('requests that come back from a lost engine are never refused', async () => {
    const { pool, service } = start({}, { batchTokens: 3, maxWaiting: 2 });
    const outcomes: Watched[] = [];
    for (let i = 0; i < 4; i++) {
      outcomes.push(watch(service.submit(asking(i))));
      await after(1);
    }
    pool.lose(0, { backAfterMs: 50 });
    await after(1);
    expect(service.snapshot().waiting).toBe(4);
    await after(200);
    expect(outcomes.every(({ answer }) => answer !== undefined)).toBe(true);
  });
});

describe('shutting down', () => {
  it('drains: nothing new is taken, what waits leaves although below T, and it ends with the last answer', async () => {
    const { service } = start({}, { threshold: 1e15, maxWaitMs: 1e6, batchTokens: 3 });
    const outcomes = [1, 2, 3].map((first) => watch(service.submit(asking(first))));
    const drained = vi.fn();
    void service.drain().then(drained);
    await expect(service.submit(asking(4))).rejects.toThrow('the server is shutting down and takes no more requests');
    await after(25);
    expect([service.snapshot().draining, drained.mock.calls.length]).toEqual([true, 0]);
    await after(10);
    expect([outcomes.every(({ answer }) => answer !== undefined), drained.mock.calls.length]).toEqual([true, 1]);
    await service.drain();
  });

  it('drains no sooner than the pass of a request that was withdrawn has ended', async () => {
    const { service } = start();
    const leaves = new AbortController();
    watch(service.submit(asking(1, { signal: leaves.signal })));
    await after(5);
    leaves.abort();
    const drained = vi.fn();
    void service.drain().then(drained);
    await after(2);
    expect(drained).not.toHaveBeenCalled();
    await after(10);
    expect(drained).toHaveBeenCalledOnce();
  });

  it('drains through the loss of an engine', async () => {
    const { pool, service } = start({}, { threshold: 1e15, maxWaitMs: 1e6 });
    const outcome = watch(service.submit(asking(1)));
    const drained = service.drain();
    await after(5);
    pool.lose(0, { backAfterMs: 100 });
    await after(200);
    await drained;
    expect(outcome).toMatchObject({ answer: { engine: 0 } });
  });

  it('closes: what is not answered fails, and nothing stays behind', async () => {
    const { pool, service } = start({}, { batchTokens: 3, threshold: 1e15, maxWaitMs: 20 });
    const outcomes = [1, 2, 3, 4].map((first) => watch(service.submit(asking(first))));
    await after(25);
    await service.close();
    await after(1000);
    expect(outcomes).toMatchObject([1, 2, 3, 4].map(() => ({ error: { name: 'DrainingError' } })));
    expect([pool.closed, pool.listeners, vi.getTimerCount(), service.snapshot().underWay]).toEqual([true, 0, 0, 0]);
    await expect(service.submit(asking(5))).rejects.toThrow('shutting down');
  });
});
