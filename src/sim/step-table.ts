/** Steps that wait or run, in typed arrays whose rows (slots) are used again when a step is over. */

export const NO_CHANNEL = -1;

/** An id is (number of the step) x SLOTS + slot: the number tells whether the slot still holds that step. */
const SLOTS = 2 ** 24;
const FREE = -1;
const NONE = -1;
/** In place of the steps that it waits for: it has begun. */
const BEGUN = -1;

const FIRST_SIZE = 64;

/** A copy of twice the length. */
export const larger = <A extends Float64Array | Int32Array>(array: A): A => {
  const grown = new (array.constructor as new (length: number) => A)(2 * array.length);
  grown.set(array);
  return grown;
};

/** Numbers first in, first out. */
class Fifo {
  #ring = new Int32Array(FIRST_SIZE);
  #first = 0;
  length = 0;

  push(value: number): void {
    if (this.length === this.#ring.length) {
      const [old, ring] = [this.#ring, new Int32Array(2 * this.length)];
      for (let i = 0; i < this.length; i++) ring[i] = old[(this.#first + i) & (old.length - 1)] as number;
      [this.#ring, this.#first] = [ring, 0];
    }
    this.#ring[(this.#first + this.length++) & (this.#ring.length - 1)] = value;
  }

  shift(): number {
    const value = this.#ring[this.#first] as number;
    this.#first = (this.#first + 1) & (this.#ring.length - 1);
    this.length--;
    return value;
  }
}

/** Cells of a slot (one is spare), which together are one line of a processor's cache. */
export const CELLS = 8;
/** `READY`: when everything that the step comes after is over, as far as that is known; `NUMBER`: how many steps were added before. */
export const [BUSY, DELAY, READY, CHANNEL, OTHER, NUMBER] = [0, 1, 2, 3, 4, 5];
/** Of a step that has begun: when it is over. */
export const END = 6;

export class StepTable {
  /** {@link CELLS} of each slot, times in milliseconds. */
  cells = new Float64Array(CELLS * FIRST_SIZE);
  /** Steps that it waits for and that have not begun. */
  #missing = new Int32Array(FIRST_SIZE);
  /** Who waits for it: the first link of a list. */
  #followers = new Int32Array(FIRST_SIZE);
  /** Links: who waits, and the next link; free ones are a list, too. */
  #links = new Int32Array(2 * FIRST_SIZE);
  #freeLink = NONE;
  #usedLinks = 0;
  /** Slots below that have been used; `#freeSlot` is the first of those that may be used again, chained by `#followers`. */
  #slots = 0;
  #freeSlot = NONE;
  readonly #begun = new Fifo();
  added = 0;
  live = 0;

  /** A new step. @throws RangeError when too many are there at the same time */
  take(busyMs: number, delayMs: number, channel: number, other: number): number {
    let slot = this.#freeSlot;
    if (slot === NONE) slot = this.#newSlot();
    else this.#freeSlot = this.#followers[slot] as number;
    const { cells } = this;
    const at = slot * CELLS;
    cells[at + BUSY] = busyMs;
    cells[at + DELAY] = delayMs;
    cells[at + CHANNEL] = channel;
    cells[at + OTHER] = other;
    cells[at + NUMBER] = this.added++;
    this.#missing[slot] = 0;
    this.#followers[slot] = NONE;
    this.live++;
    return slot;
  }

  #newSlot(): number {
    if (this.#slots === SLOTS) throw new RangeError(`more than ${SLOTS} steps wait at the same time`);
    if (this.#slots === this.#missing.length) [this.cells, this.#missing, this.#followers] = [larger(this.cells), larger(this.#missing), larger(this.#followers)];
    return this.#slots++;
  }

  idOf(slot: number): number {
    return (this.cells[slot * CELLS + NUMBER] as number) * SLOTS + slot;
  }

  /** Below 0 when the step is over and forgotten. */
  slotOf(id: number): number {
    const number = Math.floor(id / SLOTS);
    const slot = id - number * SLOTS;
    return this.cells[slot * CELLS + NUMBER] === number ? slot : NONE;
  }

  hasBegun(slot: number): boolean {
    return this.#missing[slot] === BEGUN;
  }

  /** Whether a step that has not begun waits for no other. */
  isReady(slot: number): boolean {
    return this.#missing[slot] === 0;
  }

  /** `step` waits for `before`, which has not begun. */
  follow(before: number, step: number): void {
    let link = this.#freeLink;
    if (link === NONE) {
      if (2 * this.#usedLinks === this.#links.length) this.#links = larger(this.#links);
      link = this.#usedLinks++;
    } else {
      this.#freeLink = this.#links[2 * link + 1] as number;
    }
    this.#links[2 * link] = step;
    this.#links[2 * link + 1] = this.#followers[before] as number;
    this.#followers[before] = link;
    (this.#missing[step] as number)++;
  }

  /** @param freed told of each step that waited for this one, which it does no longer */
  begin(slot: number, freed: (follower: number) => void): void {
    for (let link = this.#followers[slot] as number; link !== NONE; ) {
      const follower = this.#links[2 * link] as number;
      const next = this.#links[2 * link + 1] as number;
      (this.#missing[follower] as number)--;
      this.#links[2 * link + 1] = this.#freeLink;
      this.#freeLink = link;
      freed(follower);
      link = next;
    }
    this.#missing[slot] = BEGUN;
    this.#begun.push(slot);
  }

  /**
   * Looks at the two steps that were looked at longest ago, and forgets those that are over. Called whenever one begins, so that what is kept is
   * not much more than what runs.
   */
  forgetSome(nowMs: number): void {
    for (let looks = Math.min(2, this.#begun.length); looks > 0; looks--) {
      const slot = this.#begun.shift();
      if ((this.cells[slot * CELLS + END] as number) > nowMs) {
        this.#begun.push(slot);
        continue;
      }
      this.cells[slot * CELLS + NUMBER] = FREE;
      this.#followers[slot] = this.#freeSlot;
      this.#freeSlot = slot;
      this.live--;
    }
  }
}
