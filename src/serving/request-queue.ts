/** Something with a place in the order of arrival, which no other has. */
export interface Queued {
  readonly place: number;
}

/** Is told who comes into a queue and who leaves it. */
export interface QueueWatcher<Q> {
  entered(item: Q): void;
  left(item: Q): void;
}

/** An item, or the place of one that was removed. */
type Slot<Q> = Q | number;
const placeOf = (slot: Slot<Queued>): number => (typeof slot === 'number' ? slot : slot.place);

/** Waiting requests in the order of their places. */
export class RequestQueue<Q extends Queued> {
  #watcher: QueueWatcher<Q> | undefined;
  #slots: Slot<Q>[] = [];
  /** Slots before the first item. */
  #head = 0;
  /** Places without an item behind the head. */
  #gaps = 0;

  /** Has somebody told from now on. */
  watch(watcher: QueueWatcher<Q>): void {
    this.#watcher = watcher;
  }

  get length(): number {
    return this.#slots.length - this.#head - this.#gaps;
  }

  get head(): Q | undefined {
    return this.#slots[this.#head] as Q | undefined;
  }

  /** All, in order. */
  toArray(): Q[] {
    return this.#slots.slice(this.#head).filter((slot) => typeof slot !== 'number') as Q[];
  }

  /** Puts an item where its place is: at the end mostly, which costs nothing. */
  add(item: Q): void {
    const last = this.#slots.at(-1);
    if (last !== undefined && placeOf(last) >= item.place) return this.insert([item]);
    this.#slots.push(item);
    this.#watcher?.entered(item);
  }

  /** Takes the head; costs the same for any length. */
  shift(): Q | undefined {
    const item = this.head;
    if (item !== undefined) this.#removeAt(this.#head, item);
    return item;
  }

  /** Takes all, in order. */
  takeAll(): Q[] {
    const all = this.toArray();
    this.#replace([]);
    if (this.#watcher !== undefined) for (const item of all) this.#watcher.left(item);
    return all;
  }

  /** Puts items where their places are. Walks the queue. */
  insert(items: readonly Q[]): void {
    if (items.length === 0) return;
    this.#replace([...this.toArray(), ...items].sort((a, b) => a.place - b.place));
    if (this.#watcher !== undefined) for (const item of items) this.#watcher.entered(item);
  }

  /** Takes one out, in a time of the logarithm of the length. @returns whether it was there */
  remove(item: Q): boolean {
    const at = this.#find(item.place);
    if (this.#slots[at] !== item) return false;
    this.#removeAt(at, item);
    return true;
  }

  /** The first slot whose place is not before that one. */
  #find(place: number): number {
    let [from, to] = [this.#head, this.#slots.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (placeOf(this.#slots[middle] as Slot<Q>) < place) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  #removeAt(at: number, item: Q): void {
    this.#slots[at] = item.place;
    this.#gaps++;
    for (; typeof this.#slots[this.#head] === 'number'; this.#head++) this.#gaps--;
    if ((this.#head + this.#gaps) * 2 > this.#slots.length) this.#replace(this.toArray());
    this.#watcher?.left(item);
  }

  #replace(items: Q[]): void {
    this.#slots = items;
    this.#head = this.#gaps = 0;
  }
}
