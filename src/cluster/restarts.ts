/** How often, and how soon, something that failed is started again. */
const LONGEST_PAUSE_MS = 30_000;

export class Restarts {
  #inARow = 0;

  /**
   * @param limit failures in a row after which there is no further start
   * @param pauseMs before the first start; it doubles with every failure, up to 30 s
   */
  constructor(private readonly limit: number, private readonly pauseMs: number) {}

  /** Failures since the last pass that was answered. */
  get inARow(): number {
    return this.#inARow;
  }

  /** A pass was answered: what went wrong before is over. */
  answered(): void {
    this.#inARow = 0;
  }

  /** @returns milliseconds to wait before the next start; null: there is none */
  failed(): number | null {
    this.#inARow++;
    return this.#inARow >= this.limit ? null : Math.min(LONGEST_PAUSE_MS, this.pauseMs * 2 ** (this.#inARow - 1));
  }
}
