import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Activity } from '../../src/engine/split/activity.ts';

/** A promise that the test ends. */
function span(): { promise: Promise<void>; end(): Promise<void> } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, end: async () => { resolve(); await promise; await Promise.resolve(); } };
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

describe('exposed time', () => {
  it('is when a transfer was under way and the device had nothing to do, named by the oldest transfer', async () => {
    const seen: unknown[] = [];
    const activity = new Activity((startMs, endMs, place) => seen.push([endMs - startMs, place]));
    const [device, dispatch, combine] = [span(), span(), span()];
    void activity.compute(device.promise);
    vi.advanceTimersByTime(10);
    void activity.transfer(dispatch.promise, { pass: 1, layer: 2 });
    vi.advanceTimersByTime(20); // hidden
    await device.end();
    vi.advanceTimersByTime(5); // exposed
    void activity.transfer(combine.promise, { pass: 2, layer: 0 });
    vi.advanceTimersByTime(7); // still exposed: one span
    await dispatch.end();
    const next = span();
    void activity.compute(next.promise);
    vi.advanceTimersByTime(3); // hidden
    await combine.end();
    vi.advanceTimersByTime(100); // no transfer
    await next.end();
    expect(activity.take()).toEqual({ transferMs: 20 + 5 + 7 + 3, exposedMs: 5 + 7 });
    expect(seen).toEqual([[12, { pass: 1, layer: 2 }]]);
    expect(activity.take()).toEqual({ transferMs: 0, exposedMs: 0 });
  });

  it('counts what is still under way when it is asked', () => {
    const activity = new Activity();
    void activity.transfer(span().promise, { pass: 0 });
    vi.advanceTimersByTime(40);
    expect(activity.take()).toEqual({ transferMs: 40, exposedMs: 40 });
    vi.advanceTimersByTime(2);
    expect(activity.take()).toEqual({ transferMs: 2, exposedMs: 2 });
  });
});
