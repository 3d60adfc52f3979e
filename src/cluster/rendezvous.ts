/** What ranks of a world must know of each other while they start: each posts its part, and waits for those of all. */
import type { AsyncepError } from '../errors.ts';

class Place<T> {
  #part!: Promise<T>;
  #resolve!: (part: T) => void;
  #reject!: (error: unknown) => void;
  #posted = false;

  constructor() {
    this.clear();
  }

  /** As long as it is not cleared. */
  get part(): Promise<T> {
    return this.#part;
  }

  post(part: T): void {
    this.#posted = true;
    this.#resolve(part);
  }

  refuse(error: AsyncepError): void {
    this.clear();
    this.#reject(error);
  }

  /** Whoever waits already goes on waiting, for what is posted next. */
  clear(): void {
    if (this.#part !== undefined && !this.#posted) return;
    this.#posted = false;
    this.#part = new Promise((resolve, reject) => ([this.#resolve, this.#reject] = [resolve, reject]));
    this.#part.catch(() => undefined); // told to whoever waits
  }
}

export class Rendezvous<T> {
  readonly #places: readonly Place<T>[];

  constructor(world: number) {
    this.#places = Array.from({ length: world }, () => new Place<T>());
  }

  /**
   * @returns the parts of all ranks, in their order, once every one of them is there
   * @throws why a part will never come
   */
  async meet(rank: number, part: T): Promise<T[]> {
    this.#places[rank]?.post(part);
    for (;;) {
      const awaited = this.#places.map((place) => place.part);
      const parts = await Promise.all(awaited);
      // One may have been withdrawn while the others were awaited.
      if (this.#places.every((place, i) => place.part === awaited[i])) return parts;
    }
  }

  /** The rank's part is no longer true; whoever comes now waits for the next. */
  withdraw(rank: number): void {
    this.#places[rank]?.clear();
  }

  /** The rank's part will never come. */
  giveUp(rank: number, error: AsyncepError): void {
    this.#places[rank]?.refuse(error);
  }
}
