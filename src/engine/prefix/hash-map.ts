import { hashSlot } from './hash-slot.ts';

const FEWEST_SLOTS = 16;
/** Of the slots that are used; beyond it runs of linear probing grow long. */
const MAX_LOAD = 0.6;

/**
 * Whole numbers from 0 by block hash. As a `Map`, several times as fast: open addressing with linear probing in two arrays; deleting shifts what follows
 * back, so there are no tombstones.
 */
export class HashMap {
  /** Hash + 1; 0 is a free slot. */
  #keys!: Float64Array;
  #values!: Int32Array;
  #last!: number;
  /** Of a 32-bit hash; what is left are the bits that name a slot. */
  #shift!: number;
  #size = 0;

  /** @param expected hashes; more are taken, too */
  constructor(expected = 0) {
    this.#allocate(Math.max(FEWEST_SLOTS, 2 ** Math.ceil(Math.log2((expected + 1) / MAX_LOAD))));
  }

  get size(): number {
    return this.#size;
  }

  /** The number of a hash, or -1. */
  get(hash: number): number {
    const slot = this.#slot(hash);
    return this.#keys[slot] === 0 ? -1 : (this.#values[slot] as number);
  }

  /** @returns the number that the hash had before, or -1 */
  set(hash: number, value: number): number {
    const slot = this.#slot(hash);
    const known = this.#keys[slot] !== 0;
    const before = known ? (this.#values[slot] as number) : -1;
    this.#values[slot] = value;
    if (known) return before;
    this.#keys[slot] = hash + 1;
    if (++this.#size > this.#keys.length * MAX_LOAD) this.#grow();
    return before;
  }

  delete(hash: number): void {
    const gap = this.#slot(hash);
    if (this.#keys[gap] !== 0) this.#free(gap);
  }

  /** Empties it; room stays. */
  clear(): void {
    if (this.#size > 0) this.#keys.fill(0);
    this.#size = 0;
  }

  /** Where the hash is, or the free slot that would take it. */
  #slot(hash: number): number {
    const keys = this.#keys;
    let slot = hashSlot(hash) >>> this.#shift;
    for (let key = keys[slot]; key !== hash + 1 && key !== 0; key = keys[slot]) slot = (slot + 1) & this.#last;
    return slot;
  }

  /** Frees a slot and moves back what stands behind it because of it (Knuth, volume 3, section 6.4, algorithm R). */
  #free(gap: number): void {
    const [keys, values, last] = [this.#keys, this.#values, this.#last];
    this.#size--;
    for (let slot = (gap + 1) & last; keys[slot] !== 0; slot = (slot + 1) & last) {
      const home = hashSlot((keys[slot] as number) - 1) >>> this.#shift;
      if (((slot - home) & last) < ((slot - gap) & last)) continue;
      keys[gap] = keys[slot] as number;
      values[gap] = values[slot] as number;
      gap = slot;
    }
    keys[gap] = 0;
  }

  #allocate(slots: number): void {
    this.#keys = new Float64Array(slots);
    this.#values = new Int32Array(slots);
    this.#last = slots - 1;
    this.#shift = Math.clz32(slots) + 1;
    this.#size = 0;
  }

  #grow(): void {
    const [keys, values] = [this.#keys, this.#values];
    this.#allocate(keys.length * 2);
    for (let slot = 0; slot < keys.length; slot++) if (keys[slot] !== 0) this.set((keys[slot] as number) - 1, values[slot] as number);
  }
}
