/** When the next round is: soon, once for everything that happens in one turn of the event loop, or at a given time. */

/** Longest delay of a timer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class WakeUp {
  #soon: NodeJS.Immediate | null = null;
  #timer: NodeJS.Timeout | null = null;
  #timerMs = Infinity;
  #closed = false;

  /** @param nowMs the clock of {@link at} */
  constructor(private readonly round: () => void, private readonly nowMs: () => number) {}

  /** At the end of this turn of the event loop. */
  now(): void {
    if (this.#soon !== null || this.#closed) return;
    this.#soon = setImmediate(() => {
      this.#soon = null;
      this.round();
    });
  }

  /**
   * At `ms`, and no more at the time that was asked for before. A time that has come counts as none: the round that asks has just done what could be done then.
   * @param roundMs when that round was
   */
  at(ms: number, roundMs: number): void {
    const wanted = ms > roundMs ? ms : Infinity;
    if (wanted === this.#timerMs || this.#closed) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerMs = wanted;
    this.#timer = wanted === Infinity ? null : setTimeout(() => {
      this.#timer = null;
      this.#timerMs = Infinity;
      this.now();
    }, Math.min(MAX_TIMER_MS, Math.ceil(wanted - this.nowMs())));
  }

  close(): void {
    this.#closed = true;
    if (this.#soon !== null) clearImmediate(this.#soon);
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}
