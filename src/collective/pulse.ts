/** Signs of life between two ranks, and the decision that a peer gives none. */

const BEATS_PER_DEADLINE = 5;

/**
 * Beats five times a deadline and counts how long the peer has been silent, in the time that *this* process was able to listen: a
 * stall of its own event loop counts as one beat only, and what came meanwhile is read before the next.
 */
export class Pulse {
  readonly #timer: NodeJS.Timeout;
  readonly #intervalMs: number;
  #silentMs = 0;
  #countedUntil = performance.now();

  /**
   * @param beat gives the peer a sign of life
   * @param onSilent called once, when the peer has been silent for the deadline
   */
  constructor(private readonly deadlineMs: number, private readonly beat: () => void, private readonly onSilent: (silentMs: number) => void) {
    this.#intervalMs = deadlineMs / BEATS_PER_DEADLINE;
    this.#timer = setInterval(() => this.#tick(), this.#intervalMs);
  }

  /** Something came from the peer. */
  heard(): void {
    this.#silentMs = 0;
    this.#countedUntil = performance.now();
  }

  #tick(): void {
    const now = performance.now();
    this.#silentMs += Math.min(now - this.#countedUntil, 1.5 * this.#intervalMs);
    this.#countedUntil = now;
    if (this.#silentMs < this.deadlineMs) return this.beat();
    this.stop();
    this.onSilent(this.#silentMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** Half a sentence for the error. */
export const silentFor = (silentMs: number): string => `its link has been silent for ${(silentMs / 1e3).toFixed(1)} s`;
export const LINK_CUT = 'its link was cut';
