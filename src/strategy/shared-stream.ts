/**
 * One stream for several passes that are under way at the same time, as they are where rows travel: a layer's experts are brought in once
 * for all passes of a *round* and stay until each has used them; then the next round goes through the layers.
 *
 * Which passes make a round is told by whoever gives them to the ranks, never found out by a rank: a pass waits for the same pass on its peers,
 * and one that held a layer here while it waited for the next round there would hold up both ranks for ever.
 */
import type { Slot, SlotStream } from '../engine/slot-stream.ts';

class Round {
  /** Resolves when every pass of the round has gone through all layers. */
  readonly ended: Promise<void>;
  #end!: () => void;
  #fail!: (error: unknown) => void;
  /** Resolves when the round before has ended and the stream is at this one. */
  readonly #begun: Promise<void>;
  #members = 0;
  #finished = 0;
  readonly #slots = new Map<number, Promise<Slot>>();
  readonly #uses = new Map<number, number>();

  /** @param passes members that there will be */
  constructor(private readonly stream: SlotStream, number: number, private readonly passes: number, before: Promise<void>) {
    this.ended = new Promise((resolve, reject) => ([this.#end, this.#fail] = [resolve, reject]));
    this.ended.catch(() => undefined); // reported by the pass that met it, and by whoever waits
    this.#begun = before.then(() => stream.begin(number));
    this.#begun.catch((error: unknown) => this.#fail(error));
  }

  get full(): boolean {
    return this.#members === this.passes;
  }

  join(): this {
    this.#members++;
    return this;
  }

  /** Asked of the stream by the pass that is ahead; the others find it there. */
  ready(layer: number): Promise<Slot> {
    let slot = this.#slots.get(layer);
    if (slot === undefined) {
      slot = this.#begun.then(() => this.stream.ready(layer));
      slot.catch((error: unknown) => this.#fail(error));
      this.#slots.set(layer, slot);
    }
    return slot;
  }

  /** A pass has submitted its commands of a layer; the slot is given back with the last of them. */
  done(layer: number): void {
    const uses = (this.#uses.get(layer) ?? 0) + 1;
    this.#uses.set(layer, uses);
    if (uses === this.passes) this.stream.done(layer);
  }

  end(): void {
    if (++this.#finished < this.passes) return;
    void this.#begun.then(() => this.stream.end()).then(this.#end, this.#fail);
  }

  fail(error: unknown): void {
    this.#fail(error);
  }
}

export class SharedStream {
  /** Every round up to the last one that was begun to be filled. */
  #last: Round | null = null;
  readonly #open = new Set<Round>();
  #rounds = 0;
  #closed: Error | null = null;

  constructor(private readonly stream: SlotStream) {}

  /**
   * The stream as one pass sees it; for one pass only. Its `ready` throws what the stream throws for any pass of its round.
   * @param together passes of the round, if this one is its first: all of them must come, whether or not an earlier one has ended
   */
  pass(together = 1): SlotStream {
    const round = this.#roundOf(together).join();
    return {
      begin: () => undefined,
      ready: (layer) => (this.#closed ? Promise.reject(this.#closed) : round.ready(layer)),
      done: (layer) => round.done(layer),
      end: () => round.end(),
      close: () => Promise.resolve(),
    };
  }

  #roundOf(together: number): Round {
    if (this.#last !== null && !this.#last.full) return this.#last;
    const round = new Round(this.stream, this.#rounds++, together, this.#last?.ended ?? Promise.resolve());
    this.#last = round;
    this.#open.add(round);
    round.ended.then(() => this.#open.delete(round), () => undefined);
    return round;
  }

  /** Ends the waits of passes for the next round, and closes the stream. */
  async close(): Promise<void> {
    this.#closed ??= new Error('the stream of experts was closed');
    for (const round of this.#open) round.fail(this.#closed);
    await this.stream.close();
  }
}
