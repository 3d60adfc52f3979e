import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Watch } from '../../src/strategy/watch.ts';

const LIMIT_MS = 400;
const never = new Promise<never>(() => undefined);
const until = <T>(watch: Watch, promise: Promise<T>): Promise<T> => watch.until(promise, () => LIMIT_MS, () => 'nothing came');
/** Nothing runs in this process meanwhile. */
const hold = (ms: number): unknown => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

describe('a watched wait', () => {
  it('ends when nothing moves for longer than its limit, and says what is missing', async () => {
    await expect(until(new Watch((promise) => promise), never)).rejects.toThrow(/^nothing came \(nothing moved for 0\.[4-9] s\)$/);
  });

  it('does not count the time in which its own process was held up', async () => {
    const held = until(new Watch((promise) => promise), sleep(LIMIT_MS / 2).then(() => sleep(LIMIT_MS / 4)).then(() => 'came'));
    hold(3 * LIMIT_MS);
    expect(await held).toBe('came');
  });
});
