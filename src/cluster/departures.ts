/** Passes that wait until they may leave: those of one engine, or of engines that compute together and so ride together. */
import type { PassAnswer, PassWork } from './engine-pool.ts';

/** A pass, and who waits for its answer. */
export interface Traveller {
  readonly work: PassWork;
  answer(answer: PassAnswer): void;
  reject(error: unknown): void;
}

/** By engine; undefined for those that have nothing to run. */
export type Departure = readonly (Traveller | undefined)[];

export class Departures {
  readonly #queues: readonly Traveller[][];
  #underWay = 0;

  /**
   * @param engines that ride together
   * @param inFlight departures under way at a time
   * @param run answers or rejects everyone, and resolves when the departure is over
   */
  constructor(engines: number, private readonly inFlight: number, private readonly run: (departure: Departure) => Promise<void>) {
    this.#queues = Array.from({ length: engines }, () => []);
  }

  /** @param engine place among those that ride together */
  add(engine: number, work: PassWork): Promise<PassAnswer> {
    const answer = new Promise<PassAnswer>((resolve, reject) => void this.#queues[engine]?.push({ work, answer: resolve, reject }));
    // What is given in the same moment leaves together.
    queueMicrotask(() => this.#leave());
    return answer;
  }

  /** Rejects everyone who has not left. */
  refuse(error: Error): void {
    for (const queue of this.#queues) for (const traveller of queue.splice(0)) traveller.reject(error);
  }

  #leave(): void {
    while (this.#underWay < this.inFlight && this.#queues.some((queue) => queue.length > 0)) {
      this.#underWay++;
      void this.run(this.#queues.map((queue) => queue.shift())).finally(() => {
        this.#underWay--;
        this.#leave();
      });
    }
  }
}
