/** Steps that wait or run, as a structure of arrays whose rows (slots) are used again when a step is over. */

export const NO_CHANNEL = -1;

/** An id is (number of the step) x SLOTS + slot: the number tells whether the slot still holds that step. */
const SLOTS = 2 ** 24;
const FREE = -1;
const NONE = -1;
/** In `missing`, of a step that has begun. */
const BEGUN = -1;

const FIRST_SIZE = 1024;

const larger = <A extends Float64Array | Int32Array>(array: A): A => {
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

export class StepTable {
  busyMs = new Float64Array(FIRST_SIZE);
  delayMs = new Float64Array(FIRST_SIZE);
  /** When everything that the step comes after is over, as far as that is known. */
  readyMs = new Float64Array(FIRST_SIZE);
  /** Before that it cannot begin. */
  fromMs = new Float64Array(FIRST_SIZE);
  /** Of a step that has begun. */
  endMs = new Float64Array(FIRST_SIZE);
  channels = new Int32Array(FIRST_SIZE);
  others = new Int32Array(FIRST_SIZE);
  /** How many steps were added before. */
  numbers = new Int32Array(FIRST_SIZE);
  /** Steps that it waits for and that have not begun. */
  missing = new Int32Array(FIRST_SIZE);
  /** Who waits for it: the first link of a list. */
  #followers = new Int32Array(FIRST_SIZE);
  /** Links: who waits, and the next link; free ones are a list, too. */
  #linkStep = new Int32Array(FIRST_SIZE);
  #linkNext = new Int32Array(FIRST_SIZE);
  #freeLink = NONE;
  #links = 0;
  /** Slots below that have been used; `#freeSlot` is the first of those that may be used again, chained by `#followers`. */
  #slots = 0;
  #freeSlot = NONE;
  readonly #begun = new Fifo();
  added = 0;
  live = 0;

  /** A new step. @throws RangeError when too many are there at the same time */
  take(busyMs: number, delayMs: number, channel: number, other: number): number {
    const slot = this.#freeSlot === NONE ? this.#newSlot() : this.#freeSlot;
    if (slot === this.#freeSlot) this.#freeSlot = this.#followers[slot] as number;
    [this.busyMs[slot], this.delayMs[slot], this.channels[slot], this.others[slot]] = [busyMs, delayMs, channel, other];
    [this.missing[slot], this.#followers[slot], this.numbers[slot]] = [0, NONE, this.added++];
    this.live++;
    return slot;
  }

  #newSlot(): number {
    if (this.#slots === SLOTS) throw new RangeError(`more than ${SLOTS} steps wait at the same time`);
    if (this.#slots === this.numbers.length) this.#grow();
    return this.#slots++;
  }

  #grow(): void {
    for (const name of ['busyMs', 'delayMs', 'readyMs', 'fromMs', 'endMs'] as const) this[name] = larger(this[name]);
    for (const name of ['channels', 'others', 'numbers', 'missing'] as const) this[name] = larger(this[name]);
    this.#followers = larger(this.#followers);
  }

  idOf(slot: number): number {
    return (this.numbers[slot] as number) * SLOTS + slot;
  }

  /** NONE (below 0) when the step is over and forgotten. */
  slotOf(id: number): number {
    const number = Math.floor(id / SLOTS);
    const slot = id - number * SLOTS;
    return this.numbers[slot] === number ? slot : NONE;
  }

  hasBegun(slot: number): boolean {
    return this.missing[slot] === BEGUN;
  }

  /** `step` waits for `before`, which has not begun. */
  follow(before: number, step: number): void {
    let link = this.#freeLink;
    if (link === NONE) {
      if (this.#links === this.#linkStep.length) [this.#linkStep, this.#linkNext] = [larger(this.#linkStep), larger(this.#linkNext)];
      link = this.#links++;
    } else {
      this.#freeLink = this.#linkNext[link] as number;
    }
    this.#linkStep[link] = step;
    this.#linkNext[link] = this.#followers[before] as number;
    this.#followers[before] = link;
    (this.missing[step] as number)++;
  }

  /** @param freed told of each step that waited for this one, which it does no longer */
  begin(slot: number, freed: (follower: number) => void): void {
    for (let link = this.#followers[slot] as number; link !== NONE; ) {
      const [follower, next] = [this.#linkStep[link] as number, this.#linkNext[link] as number];
      (this.missing[follower] as number)--;
      this.#linkNext[link] = this.#freeLink;
      this.#freeLink = link;
      freed(follower);
      link = next;
    }
    this.missing[slot] = BEGUN;
    this.#begun.push(slot);
  }

  /**
   * Looks at the two steps that were looked at longest ago, and forgets those that are over. Called whenever one begins, so that what is kept is
   * not much more than what runs.
   */
  forgetSome(nowMs: number): void {
    for (let looks = Math.min(2, this.#begun.length); looks > 0; looks--) {
      const slot = this.#begun.shift();
      if ((this.endMs[slot] as number) > nowMs) {
        this.#begun.push(slot);
        continue;
      }
      this.numbers[slot] = FREE;
      this.#followers[slot] = this.#freeSlot;
      this.#freeSlot = slot;
      this.live--;
    }
  }
}
