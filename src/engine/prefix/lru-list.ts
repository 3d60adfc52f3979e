/** Ids in the order of their last use: a doubly linked list in two arrays, every operation O(1). */
const APART = -1;

export class LruList {
  /** Neighbours of each id; the ends meet in an id of their own, `capacity`. */
  readonly #older: Int32Array;
  readonly #newer: Int32Array;

  /** @param capacity ids are whole numbers below it */
  constructor(private readonly capacity: number) {
    this.#older = new Int32Array(capacity + 1).fill(APART);
    this.#newer = new Int32Array(capacity + 1).fill(APART);
    this.#older[capacity] = this.#newer[capacity] = capacity;
  }

  /** The id whose last use was the longest ago; -1 when there is none. */
  get oldest(): number {
    const oldest = this.#newer[this.capacity] as number;
    return oldest === this.capacity ? APART : oldest;
  }

  /** Makes an id the newest; one that was not in the list is now. */
  touch(id: number): void {
    this.remove(id);
    const newest = this.#older[this.capacity] as number;
    this.#link(newest, id);
    this.#link(id, this.capacity);
  }

  remove(id: number): void {
    if (this.#older[id] === APART) return;
    this.#link(this.#older[id] as number, this.#newer[id] as number);
    this.#older[id] = this.#newer[id] = APART;
  }

  #link(older: number, newer: number): void {
    this.#newer[older] = newer;
    this.#older[newer] = older;
  }
}
