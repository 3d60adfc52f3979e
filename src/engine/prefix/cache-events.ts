/** What a prefix cache tells others of its contents. */

/** Blocks, by hash, that came into the cache, and then those that left it. No hash is in both. */
export interface CacheEvents {
  readonly materialised: Float64Array;
  readonly evicted: Float64Array;
}

export const NO_CACHE_EVENTS: CacheEvents = { materialised: new Float64Array(0), evicted: new Float64Array(0) };

/** Changes since they were last told; what came and left again, or the other way round, is no change. */
export class CacheChanges {
  readonly #came = new Set<number>();
  readonly #left = new Set<number>();

  came(hash: number): void {
    if (!this.#left.delete(hash)) this.#came.add(hash);
  }

  left(hash: number): void {
    if (!this.#came.delete(hash)) this.#left.add(hash);
  }

  /** Takes back what {@link take} gave out: it was never told. */
  restore({ materialised, evicted }: CacheEvents): void {
    for (const hash of materialised) this.came(hash);
    for (const hash of evicted) this.left(hash);
  }

  take(): CacheEvents {
    const events = { materialised: Float64Array.from(this.#came), evicted: Float64Array.from(this.#left) };
    this.#came.clear();
    this.#left.clear();
    return events;
  }
}
