/** Waits that end: with what was awaited, with a failure from elsewhere, or when nothing has moved for too long. */
import { AsyncepError } from '../errors.ts';

export class Watch {
  #failure: { error: unknown } | null = null;
  #fail!: (error: unknown) => void;
  readonly #failed: Promise<never>;
  #lastProgressMs = performance.now();

  constructor(private readonly wait: <T>(promise: Promise<T>) => Promise<T>) {
    this.#failed = new Promise((_, reject) => (this.#fail = reject));
    this.#failed.catch(() => undefined); // reported by whoever waits, or asks next
  }

  get failed(): boolean {
    return this.#failure !== null;
  }

  /** From now on every wait ends with this error (the first one given). */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#fail(this.#failure.error);
  }

  /** @throws the failure, if there was one */
  check(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** Something moved: deadlines count from here. */
  progress(): void {
    this.#lastProgressMs = performance.now();
  }

  /**
   * @param limitMs how long nothing may move; asked again and again, because it depends on who has to move
   * @param missing what to say when it does not
   */
  async until<T>(promise: Promise<T>, limitMs: () => number, missing: () => string): Promise<T> {
    this.check();
    this.progress();
    const tickMs = Math.max(5, Math.min(250, limitMs() / 4));
    let tickedMs = performance.now();
    const timer = setInterval(() => {
      const now = performance.now();
      // While this process was held up (suspended, say) nothing could move.
      const heldMs = now - tickedMs - tickMs;
      if (heldMs > tickMs) this.#lastProgressMs = Math.min(now, this.#lastProgressMs + heldMs);
      tickedMs = now;
      const stillMs = now - this.#lastProgressMs;
      if (stillMs > limitMs()) this.fail(new AsyncepError(`${missing()} (nothing moved for ${(stillMs / 1000).toFixed(1)} s)`));
    }, tickMs);
    try {
      return await this.wait(Promise.race([promise, this.#failed]));
    } finally {
      clearInterval(timer);
    }
  }
}
