/** A clock that stands still until a test turns it. */
import type { Clock } from '../../src/collective/link.ts';

export class HandClock implements Clock {
  #now = 0;
  #waiting: { ms: number; resolve: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  until(ms: number): Promise<void> {
    if (ms <= this.#now) return Promise.resolve();
    return new Promise((resolve) => void this.#waiting.push({ ms, resolve }));
  }

  /** Goes from one wait's end to the next, in order, up to `ms`; `lateMs` makes every timer late. */
  async turnTo(ms: number, lateMs = 0): Promise<void> {
    for (;;) {
      await new Promise((resolve) => void setImmediate(resolve));
      const next = this.#waiting.toSorted((a, b) => a.ms - b.ms)[0];
      if (next === undefined || next.ms + lateMs > ms) break;
      this.#waiting = this.#waiting.filter((waiter) => waiter !== next);
      this.#now = Math.max(this.#now, next.ms + lateMs);
      next.resolve();
    }
    this.#now = ms;
  }
}
