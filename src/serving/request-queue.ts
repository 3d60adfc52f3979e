/** Something with a place in the order of arrival. */
export interface Queued {
  readonly place: number;
}

/** Waiting requests in the order of their places. */
export class RequestQueue<Q extends Queued> {
  #items: Q[] = [];
  /** What stands before it was taken. */
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  get head(): Q | undefined {
    return this.#items[this.#head];
  }

  /** All, in order. */
  toArray(): Q[] {
    return this.#items.slice(this.#head);
  }

  /** Puts an item where its place is: at the end mostly, which costs nothing. */
  add(item: Q): void {
    if (this.length > 0 && (this.#items.at(-1) as Q).place > item.place) this.insert([item]);
    else this.#items.push(item);
  }

  /** Takes the head; costs the same for any length. */
  shift(): Q | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#head++;
    if (this.#head * 2 > this.#items.length) this.#replace(this.toArray());
    return item;
  }

  /** Takes all, in order. */
  takeAll(): Q[] {
    const all = this.toArray();
    this.#replace([]);
    return all;
  }

  /** Puts items where their places are. Walks the queue. */
  insert(items: readonly Q[]): void {
    if (items.length > 0) this.#replace([...this.toArray(), ...items].sort((a, b) => a.place - b.place));
  }

  /** Walks the queue. @returns whether it was there */
  remove(item: Q): boolean {
    const at = this.#items.indexOf(item, this.#head);
    if (at >= 0) this.#items.splice(at, 1);
    return at >= 0;
  }

  #replace(items: Q[]): void {
    this.#items = items;
    this.#head = 0;
  }
}
