import { hashSlot } from '../engine/prefix/hash-slot.ts';

const FIRST_SLOTS = 1024;

/** Blocks of one batch, by hash. Emptied at no cost, as every batch begins with an empty one: a slot counts only with the current stamp. */
export class BlockSet {
  #hashes = new Float64Array(FIRST_SLOTS);
  #stamps = new Uint32Array(FIRST_SLOTS);
  #stamp = 1;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(hash: number): boolean {
    return this.#stamps[this.#slot(hash)] === this.#stamp;
  }

  add(hash: number): void {
    const slot = this.#slot(hash);
    if (this.#stamps[slot] === this.#stamp) return;
    this.#hashes[slot] = hash;
    this.#stamps[slot] = this.#stamp;
    if (++this.#size * 2 > this.#hashes.length) this.#grow();
  }

  clear(): void {
    this.#size = 0;
    this.#stamp = (this.#stamp + 1) >>> 0;
    if (this.#stamp > 0) return;
    this.#stamps.fill(0);
    this.#stamp = 1;
  }

  /** Where the hash is, or the free slot that would take it. */
  #slot(hash: number): number {
    const hashes = this.#hashes;
    const stamps = this.#stamps;
    const last = hashes.length - 1;
    let slot = (hashSlot(hash) >>> 8) & last;
    while (stamps[slot] === this.#stamp && hashes[slot] !== hash) slot = (slot + 1) & last;
    return slot;
  }

  #grow(): void {
    const [hashes, stamps, stamp] = [this.#hashes, this.#stamps, this.#stamp];
    this.#hashes = new Float64Array(hashes.length * 2);
    this.#stamps = new Uint32Array(hashes.length * 2);
    this.#stamp = 1;
    this.#size = 0;
    for (let slot = 0; slot < hashes.length; slot++) if (stamps[slot] === stamp) this.add(hashes[slot] as number);
  }
}
