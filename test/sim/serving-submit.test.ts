import { describe, expect, it } from 'vitest';
import { submitWorkload } from '../../src/sim/serving/real.ts';

const workload = { name: 'test', sequences: [3, 4, 5, 6].map((length) => new Uint32Array(length)), tokens: 18, contextFactor: 1 };

describe('submitting a workload', () => {
  it('submits in order, at most so many at once, and adds up what comes back', async () => {
    let [underWay, most, now] = [0, 0, 0];
    const order: number[] = [];
    const figures = await submitWorkload(workload, async (tokens, index) => {
      order.push(index);
      most = Math.max(most, ++underWay);
      await Promise.resolve();
      now += 10; // each answer takes 10 ms of the test's clock
      underWay--;
      return { cachedTokens: tokens.length - 3 };
    }, { inFlight: 2, clock: () => now });
    expect([order, most]).toEqual([[0, 1, 2, 3], 2]);
    expect(figures).toMatchObject({ wallMs: 40, tokensPerSecond: 18 / 0.04, cachedTokens: 6, hitRate: 6 / 18 });
    expect([...figures.latencyMs].every((ms) => ms >= 10 && ms <= 20)).toBe(true);
  });

  it('ends with the first failure and submits nothing more', async () => {
    let submitted = 0;
    const failing = submitWorkload(workload, () => Promise.reject(new Error(`no ${++submitted}`)), { inFlight: 1, clock: () => 0 });
    await expect(failing).rejects.toThrow('no 1');
    expect(submitted).toBe(1);
  });
});
