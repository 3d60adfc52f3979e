/** Who leaves when: those of one engine in turn, those of engines that compute together with each other. */

/** By engine; undefined for those that have nothing to run. */
export type Leaving<T> = readonly (T | undefined)[];

export class DepartureQueues<T> {
  readonly #queues: readonly T[][];
  #underWay = 0;

  /**
   * @param engines that ride together
   * @param inFlight departures under way at a time
   */
  constructor(engines: number, private readonly inFlight: number) {
    this.#queues = Array.from({ length: engines }, () => []);
  }

  /** @param engine place among those that ride together */
  add(engine: number, traveller: T): void {
    this.#queues[engine]?.push(traveller);
  }

  /** The next departure, which is under way then: of each engine who waits longest; null when none may leave. */
  next(): Leaving<T> | null {
    if (this.#underWay >= this.inFlight || this.#queues.every((queue) => queue.length === 0)) return null;
    this.#underWay++;
    return this.#queues.map((queue) => queue.shift());
  }

  /** A departure is over. */
  over(): void {
    this.#underWay--;
  }

  /** Takes out all who have not left. */
  takeAll(): T[] {
    return this.#queues.flatMap((queue) => queue.splice(0));
  }
}
