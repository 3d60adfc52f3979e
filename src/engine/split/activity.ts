/** What of the transfers the device's work did not hide: the same measure as a slot that comes late (exposed time). */

/** A span in which a transfer was under way and the device had nothing to do, milliseconds of `performance.now()`. */
export type OnExposed = (startMs: number, endMs: number) => void;

/** Counts time by what was going on. Several transfers and several submits may be under way at once. */
export class Activity {
  #computing = 0;
  #transferring = 0;
  #sinceMs = performance.now();
  #exposedFromMs: number | null = null;
  #transferMs = 0;
  #exposedMs = 0;

  constructor(private readonly onExposed: OnExposed = () => undefined) {}

  /** `promise` is the device's work. */
  async compute<T>(promise: Promise<T>): Promise<T> {
    this.#change(1, 0);
    try {
      return await promise;
    } finally {
      this.#change(-1, 0);
    }
  }

  /** `promise` is bytes on their way, or ranks that wait for those of others. */
  async transfer<T>(promise: Promise<T>): Promise<T> {
    this.#change(0, 1);
    try {
      return await promise;
    } finally {
      this.#change(0, -1);
    }
  }

  #change(computing: number, transferring: number): void {
    const nowMs = performance.now();
    const exposed = this.#transferring > 0 && this.#computing === 0;
    if (this.#transferring > 0) this.#transferMs += nowMs - this.#sinceMs;
    if (exposed) this.#exposedMs += nowMs - this.#sinceMs;
    this.#computing += computing;
    this.#transferring += transferring;
    this.#sinceMs = nowMs;
    const stillExposed = this.#transferring > 0 && this.#computing === 0;
    if (stillExposed) this.#exposedFromMs ??= nowMs;
    else if (this.#exposedFromMs !== null) {
      this.onExposed(this.#exposedFromMs, nowMs);
      this.#exposedFromMs = null;
    }
  }

  /** Since the last call. */
  take(): { transferMs: number; exposedMs: number } {
    this.#change(0, 0);
    const taken = { transferMs: this.#transferMs, exposedMs: this.#exposedMs };
    this.#transferMs = this.#exposedMs = 0;
    return taken;
  }
}
