/**
 * One stream for several passes that are under way at the same time, as they are where rows travel: a layer's experts are brought in once
 * for all passes of a *round* and stay until each has used them. A pass joins the round that has begun, as long as no layer of it was given back,
 * or waits for the next one.
 */
import type { Slot, SlotStream } from '../engine/slot-stream.ts';

class Round {
  /** Resolves when every pass of the round has gone through all layers. */
  readonly ended: Promise<void>;
  #end!: () => void;
  #fail!: (error: unknown) => void;
  #members = 0;
  #finished = 0;
  #joinable = true;
  readonly #slots = new Map<number, Promise<Slot>>();
  readonly #uses = new Map<number, number>();

  constructor(private readonly stream: SlotStream, number: number) {
    this.ended = new Promise((resolve, reject) => ([this.#end, this.#fail] = [resolve, reject]));
    this.ended.catch(() => undefined); // reported by the pass that met it, and by whoever waits
    stream.begin(number);
  }

  get joinable(): boolean {
    return this.#joinable;
  }

  join(): this {
    this.#members++;
    return this;
  }

  /** Asked of the stream by the pass that is ahead; the others find it there. */
  ready(layer: number): Promise<Slot> {
    let slot = this.#slots.get(layer);
    if (slot === undefined) {
      slot = this.stream.ready(layer);
      slot.catch((error: unknown) => this.#fail(error));
      this.#slots.set(layer, slot);
    }
    return slot;
  }

  /** A pass has submitted its commands of a layer; the slot is given back with the last of them. */
  done(layer: number): void {
    const uses = (this.#uses.get(layer) ?? 0) + 1;
    this.#uses.set(layer, uses);
    if (uses < this.#members) return;
    this.#joinable = false;
    this.stream.done(layer);
  }

  end(): void {
    if (++this.#finished < this.#members) return;
    this.#joinable = false;
    this.stream.end();
    this.#end();
  }

  fail(error: unknown): void {
    this.#fail(error);
  }
}

export class SharedStream {
  #round: Round | null = null;
  #rounds = 0;
  #closed: Error | null = null;

  constructor(private readonly stream: SlotStream) {}

  /** The stream as one pass sees it; for one pass only. Its `ready` throws what the stream throws for any pass of its round. */
  pass(): SlotStream {
    let joined: Promise<Round> | null = null;
    let round: Round | null = null;
    const member = (): Round => {
      if (round === null) throw new Error('a pass asked for no layer before it was done with one');
      return round;
    };
    return {
      begin: () => {
        joined = this.#join();
        joined.then((joinedRound) => (round = joinedRound), () => undefined);
      },
      ready: async (layer) => {
        if (joined === null) throw new Error('a pass asks for a layer before it begins');
        return (await joined).ready(layer);
      },
      done: (layer) => member().done(layer),
      end: () => void joined?.then((joinedRound) => joinedRound.end(), () => undefined),
      close: () => Promise.resolve(),
    };
  }

  /** The round that has begun, or the next one. A round that has just begun is joined at once, so that passes begun together share it. */
  #join(): Promise<Round> {
    if (this.#closed) return Promise.reject(this.#closed);
    const current = this.#round;
    if (current?.joinable) return Promise.resolve(current.join());
    if (current) return current.ended.then(() => this.#join());
    const round = new Round(this.stream, this.#rounds++);
    this.#round = round;
    const forget = (): void => {
      if (this.#round === round) this.#round = null;
    };
    round.ended.then(forget, () => undefined);
    return Promise.resolve(round.join());
  }

  /** Ends the waits of passes for the next round, and closes the stream. */
  async close(): Promise<void> {
    this.#closed ??= new Error('the stream of experts was closed');
    this.#round?.fail(this.#closed);
    await this.stream.close();
  }
}
