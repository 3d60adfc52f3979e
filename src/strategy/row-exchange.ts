/** Rows of a batch between ranks: the collective exchange as the engine of a split model asks for it. */
import { Collectives } from '../collective/collectives.ts';
import type { Messenger } from '../collective/messenger.ts';
import type { ExchangeStep, RowExchange } from '../engine/split/exchange.ts';

/** An exchange that is over. */
export interface ExchangeEvent extends ExchangeStep {
  readonly startMs: number;
  readonly endMs: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

/**
 * One exchange at a time has the link. If the rows of two passes shared it, both would come late, at the same time, and then both passes would
 * compute at the same time; one after the other, each hides behind the other's compute. Of those that wait, the older pass goes first, on every rank.
 */
class Turns {
  #taken = false;
  #waiting: { readonly pass: number; readonly go: () => void }[] = [];

  async take(pass: number, send: () => Promise<void>): Promise<void> {
    if (this.#taken) {
      await new Promise<void>((go) => {
        this.#waiting.push({ pass, go });
        this.#waiting.sort((a, b) => a.pass - b.pass);
      });
    }
    this.#taken = true;
    try {
      await send();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#taken = false;
      else next.go();
    }
  }
}

/** Where a rank has nothing for another it says so: an empty message. */
const NOTHING = new Uint8Array(0);

/** Bytes of all exchanges by what they were for. */
export type ExchangeBytes = Readonly<Record<string, { readonly sentBytes: number; readonly receivedBytes: number }>>;

export class MessengerExchange implements RowExchange {
  readonly #turns = new Turns();
  readonly #collectives: Collectives;
  #bytes: Record<string, { sentBytes: number; receivedBytes: number }> = {};

  constructor(messenger: Messenger, private readonly onExchange: (event: ExchangeEvent) => void = () => undefined) {
    this.#collectives = new Collectives(messenger);
  }

  get rank(): number {
    return this.#collectives.rank;
  }

  get world(): number {
    return this.#collectives.world;
  }

  /** A failure closes the messenger, so that nobody waits for a rank that has given up. */
  async exchange(step: ExchangeStep, parts: readonly (Uint8Array | null)[], into: readonly (Uint8Array | null)[]): Promise<readonly number[]> {
    const startMs = performance.now();
    const ofPeers = (list: readonly (Uint8Array | null)[]): (Uint8Array | null)[] => list.map((part, peer) => (peer === this.rank ? null : (part ?? NOTHING)));
    const lengths = await this.#collectives.exchange(step, ofPeers(parts), ofPeers(into), (send) => this.#turns.take(step.pass, send));
    const sentBytes = parts.reduce((sum, part, peer) => sum + (peer === this.rank ? 0 : (part?.length ?? 0)), 0);
    this.#count({ ...step, startMs, endMs: performance.now(), sentBytes, receivedBytes: lengths.reduce((sum, length) => sum + length, 0) });
    return lengths;
  }

  /** One message to, or from, one neighbour: a stage of a pipeline. */
  async send(peer: number, step: ExchangeStep, bytes: Uint8Array): Promise<void> {
    const startMs = performance.now();
    await this.#collectives.send(step, peer, bytes);
    this.#count({ ...step, startMs, endMs: performance.now(), sentBytes: bytes.length, receivedBytes: 0 });
  }

  async receive(peer: number, step: ExchangeStep, into: Uint8Array): Promise<void> {
    const startMs = performance.now();
    const receivedBytes = await this.#collectives.recv(step, peer, into);
    this.#count({ ...step, startMs, endMs: performance.now(), sentBytes: 0, receivedBytes });
  }

  #count(event: ExchangeEvent): void {
    const counts = (this.#bytes[event.op] ??= { sentBytes: 0, receivedBytes: 0 });
    counts.sentBytes += event.sentBytes;
    counts.receivedBytes += event.receivedBytes;
    this.onExchange(event);
  }

  /** Since the last call. */
  takeBytes(): ExchangeBytes {
    const bytes = this.#bytes;
    this.#bytes = {};
    return bytes;
  }
}
