/** Passes that wait until they may leave: those of one engine, or of engines that compute together and so ride together. */
import { DepartureQueues, type Leaving } from './departure-queues.ts';
import type { PassAnswer, PassWork } from './engine-pool.ts';

/** A pass, and who waits for its answer. */
export interface Traveller {
  readonly work: PassWork;
  answer(answer: PassAnswer): void;
  reject(error: unknown): void;
}

export type Departure = Leaving<Traveller>;

export class Departures {
  readonly #queues: DepartureQueues<Traveller>;

  /**
   * @param engines that ride together
   * @param inFlight departures under way at a time
   * @param run answers or rejects everyone, and resolves when the departure is over
   */
  constructor(engines: number, inFlight: number, private readonly run: (departure: Departure) => Promise<void>) {
    this.#queues = new DepartureQueues(engines, inFlight);
  }

  /** @param engine place among those that ride together */
  add(engine: number, work: PassWork): Promise<PassAnswer> {
    const answer = new Promise<PassAnswer>((resolve, reject) => this.#queues.add(engine, { work, answer: resolve, reject }));
    // What is given in the same moment leaves together.
    queueMicrotask(() => this.#leave());
    return answer;
  }

  /** Rejects everyone who has not left. */
  refuse(error: Error): void {
    for (const traveller of this.#queues.takeAll()) traveller.reject(error);
  }

  #leave(): void {
    for (let departure = this.#queues.next(); departure !== null; departure = this.#queues.next()) {
      void this.run(departure).finally(() => {
        this.#queues.over();
        this.#leave();
      });
    }
  }
}
