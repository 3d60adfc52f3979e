/** What a prefix cache tells others of its contents. */
import { HashMap } from './hash-map.ts';

/** Blocks, by hash, that came into the cache, and then those that left it. No hash is in both. */
export interface CacheEvents {
  readonly materialised: Float64Array;
  readonly evicted: Float64Array;
}

export const NO_CACHE_EVENTS: CacheEvents = { materialised: new Float64Array(0), evicted: new Float64Array(0) };

/** Hashes in the order in which they came, those that were taken out again left out. */
class HashList {
  #hashes = new Float64Array(64);
  #end = 0;
  /** Where each one stands. */
  readonly #places = new HashMap();

  add(hash: number): void {
    const before = this.#places.set(hash, this.#end);
    if (before >= 0) this.#places.set(hash, before);
    else {
      if (this.#end === this.#hashes.length) this.#makeRoom();
      this.#hashes[this.#end++] = hash;
    }
  }

  /** @returns whether it was there */
  delete(hash: number): boolean {
    const place = this.#places.size === 0 ? -1 : this.#places.get(hash);
    if (place < 0) return false;
    this.#hashes[place] = NaN;
    this.#places.delete(hash);
    return true;
  }

  /** Empties it. @returns what was there */
  take(): Float64Array {
    const all = this.#hashes.slice(0, this.#end);
    const taken = this.#places.size === this.#end ? all : all.filter((hash) => !Number.isNaN(hash));
    this.#end = 0;
    this.#places.clear();
    return taken;
  }

  #makeRoom(): void {
    const hashes = new Float64Array(this.#hashes.length * 2);
    hashes.set(this.#hashes);
    this.#hashes = hashes;
  }
}

/** Changes since they were last told; what came and left again, or the other way round, is no change. */
export class CacheChanges {
  readonly #came = new HashList();
  readonly #left = new HashList();

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
    return { materialised: this.#came.take(), evicted: this.#left.take() };
  }
}
