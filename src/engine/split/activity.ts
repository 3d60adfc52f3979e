/** What of the transfers the device's work did not hide: the same measure as a slot that comes late (exposed time). */

/** What a transfer belongs to. */
export interface TransferPlace {
  readonly pass: number;
  /** None where whole passes travel, from stage to stage. */
  readonly layer?: number;
}

/** A span in which transfers were under way (`place`: of the oldest) and the device had nothing to do, milliseconds of `performance.now()`. */
export type OnExposed = (startMs: number, endMs: number, place: TransferPlace) => void;

/** Counts time by what was going on. Several transfers and several submits may be under way at once. */
export class Activity {
  #computing = 0;
  readonly #transfers = new Set<TransferPlace>();
  #sinceMs = performance.now();
  #exposed: { readonly fromMs: number; readonly place: TransferPlace } | null = null;
  #transferMs = 0;
  #exposedMs = 0;

  constructor(private readonly onExposed: OnExposed = () => undefined) {}

  /** `promise` is the device's work. */
  async compute<T>(promise: Promise<T>): Promise<T> {
    this.#count();
    this.#computing++;
    this.#watch();
    try {
      return await promise;
    } finally {
      this.#count();
      this.#computing--;
      this.#watch();
    }
  }

  /** `promise` is bytes on their way, or ranks that wait for those of others. */
  async transfer<T>(promise: Promise<T>, { pass, layer }: TransferPlace): Promise<T> {
    const place = { pass, ...(layer !== undefined && { layer }) };
    this.#count();
    this.#transfers.add(place);
    this.#watch();
    try {
      return await promise;
    } finally {
      this.#count();
      this.#transfers.delete(place);
      this.#watch();
    }
  }

  /** Books the time since the last change. */
  #count(): void {
    const nowMs = performance.now();
    if (this.#transfers.size > 0) this.#transferMs += nowMs - this.#sinceMs;
    if (this.#transfers.size > 0 && this.#computing === 0) this.#exposedMs += nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
  }

  /** Sees spans of exposed time begin and end. */
  #watch(): void {
    const [place] = this.#transfers;
    if (place !== undefined && this.#computing === 0) {
      this.#exposed ??= { fromMs: this.#sinceMs, place };
    } else if (this.#exposed !== null) {
      this.onExposed(this.#exposed.fromMs, this.#sinceMs, this.#exposed.place);
      this.#exposed = null;
    }
  }

  /** Since the last call. */
  take(): { transferMs: number; exposedMs: number } {
    this.#count();
    const taken = { transferMs: this.#transferMs, exposedMs: this.#exposedMs };
    this.#transferMs = this.#exposedMs = 0;
    return taken;
  }
}
