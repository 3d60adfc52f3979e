/** Whose fault it is when ranks fail one after another: the first to speak is seldom the first that failed. */
import { type AsyncepError, RankError } from '../errors.ts';

/** A rank that accuses another is not believed before: the accused, or its death, may tell more. */
const HEARING_MS = 300;
/** Parts of the deadline by which ranks may differ in when they find that a peer is silent, with some room. */
const WITNESSES_DIFFER = 0.25;

/**
 * A rank's own end - it died, fell silent, or says what it failed at - decides at once. A rank that gives up because of another is a witness
 * only: its link to the accused may be what is broken. At the end of the hearing, or as soon as all others name the same, the rank that
 * most witnesses name is at fault; of two that only accuse each other, the one that was named first.
 */
export class Hearing {
  readonly #accusations: RankError[] = [];
  readonly #timers: NodeJS.Timeout[] = [];
  #mayEnd = false;
  #over = false;

  /**
   * @param world ranks that may speak
   * @param deadlineMs after which they give up a silent peer
   * @param decide called once, with what the user is told
   */
  constructor(
    private readonly world: number,
    private readonly deadlineMs: number,
    private readonly decide: (verdict: AsyncepError) => void,
  ) {}

  /** `reporter` failed. */
  hear(reporter: number, error: AsyncepError): void {
    if (this.#over) return;
    if (!(error instanceof RankError) || error.rank === reporter) return this.#end(error);
    if (this.#accusations.push(error) === 1) this.#open();
    if (this.#mayEnd) this.#endIfUnanimous();
  }

  #open(): void {
    const longestMs = Math.max(HEARING_MS, WITNESSES_DIFFER * this.deadlineMs);
    this.#timers.push(setTimeout(() => {
      this.#mayEnd = true;
      this.#endIfUnanimous();
    }, HEARING_MS));
    this.#timers.push(setTimeout(() => this.#end(this.#mostAccused), longestMs));
  }

  #votes(rank: number): number {
    return this.#accusations.filter((accusation) => accusation.rank === rank).length;
  }

  /** The first accusation of the rank with most of them. */
  get #mostAccused(): RankError {
    return this.#accusations.reduce((most, other) => (this.#votes(other.rank) > this.#votes(most.rank) ? other : most));
  }

  #endIfUnanimous(): void {
    if (this.#votes(this.#mostAccused.rank) >= this.world - 1) this.#end(this.#mostAccused);
  }

  #end(verdict: AsyncepError): void {
    if (this.#over) return;
    this.#over = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.decide(verdict);
  }
}
