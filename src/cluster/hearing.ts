/** Whose fault it is when ranks fail one after another: the first to speak is seldom the first that failed. */
import { type AsyncepError, RankError } from '../errors.ts';

/** A rank that accuses another is believed after so long: the accused, or its death, may tell more, and so may other witnesses. */
const HEARING_MS = 300;

/**
 * A rank's own end - it died, fell silent, or says what it failed at - decides at once. A rank that gives up because of another is a witness
 * only: its link to the accused may be what is broken. After the hearing the rank that most witnesses name is at fault; of two
 * that only accuse each other, the one that was named first.
 */
export class Hearing {
  readonly #accusations: RankError[] = [];
  #over = false;

  /** @param decide called once, with what the user is told */
  constructor(private readonly decide: (verdict: AsyncepError) => void) {}

  /** `reporter` failed. */
  hear(reporter: number, error: AsyncepError): void {
    if (this.#over) return;
    if (!(error instanceof RankError) || error.rank === reporter) return this.#end(error);
    if (this.#accusations.push(error) === 1) setTimeout(() => this.#end(mostAccused(this.#accusations)), HEARING_MS);
  }

  #end(verdict: AsyncepError): void {
    if (this.#over) return;
    this.#over = true;
    this.decide(verdict);
  }
}

/** The first accusation of the rank with most of them. */
function mostAccused(accusations: readonly RankError[]): RankError {
  const votes = (rank: number): number => accusations.filter((other) => other.rank === rank).length;
  return accusations.reduce((most, other) => (votes(other.rank) > votes(most.rank) ? other : most));
}
