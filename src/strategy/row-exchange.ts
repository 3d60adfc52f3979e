/** Rows of a batch between ranks, over a messenger: what the engine of a split model asks for. */
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

  async take<T>({ pass }: ExchangeStep, send: () => Promise<T>): Promise<T> {
    if (this.#taken) {
      await new Promise<void>((go) => {
        this.#waiting.push({ pass, go });
        this.#waiting.sort((a, b) => a.pass - b.pass);
      });
    }
    this.#taken = true;
    try {
      return await send();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#taken = false;
      else next.go();
    }
  }
}

/** Bytes of all exchanges by what they were for. */
export type ExchangeBytes = Readonly<Record<string, { readonly sentBytes: number; readonly receivedBytes: number }>>;

export class MessengerExchange implements RowExchange {
  readonly #turns = new Turns();
  #bytes: Record<string, { sentBytes: number; receivedBytes: number }> = {};

  constructor(
    private readonly messenger: Messenger,
    private readonly onExchange: (event: ExchangeEvent) => void = () => undefined,
  ) {}

  get rank(): number {
    return this.messenger.rank;
  }

  get world(): number {
    return this.messenger.world;
  }

  /** All peers at once; every rank begins with another one, so that none is everybody's first. */
  async exchange(step: ExchangeStep, parts: readonly (Uint8Array | null)[], into: readonly (Uint8Array | null)[]): Promise<readonly number[]> {
    const { messenger: { rank, world } } = this;
    const tag = { pass: step.pass, step: step.step };
    const startMs = performance.now();
    const peers = Array.from({ length: world - 1 }, (_, i) => (rank + 1 + i) % world);
    const lengths = parts.map(() => 0);
    let sentBytes = 0;
    const sends = this.#turns.take(step, () => Promise.allSettled(peers.map(async (peer) => {
      const part = parts[peer] ?? new Uint8Array(0);
      await this.messenger.send(peer, tag, part);
      sentBytes += part.length;
    })));
    const receives = peers.map(async (peer) => {
      const from = (2 * rank - peer + world) % world; // mirrored: whoever sends to us first
      lengths[from] = await this.messenger.receive(from, tag, into[from] ?? new Uint8Array(0));
    });
    // A failure of one must not leave the others writing into memory that its owner unmaps.
    const results = [...(await Promise.allSettled(receives)), ...(await sends)];
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    this.#count({ ...step, startMs, endMs: performance.now(), sentBytes, receivedBytes: lengths.reduce((sum, length) => sum + length, 0) });
    return lengths;
  }

  /** One message to, or from, one neighbour: a stage of a pipeline. */
  async send(peer: number, step: ExchangeStep, bytes: Uint8Array): Promise<void> {
    const startMs = performance.now();
    await this.messenger.send(peer, { pass: step.pass, step: step.step }, bytes);
    this.#count({ ...step, startMs, endMs: performance.now(), sentBytes: bytes.length, receivedBytes: 0 });
  }

  async receive(peer: number, step: ExchangeStep, into: Uint8Array): Promise<void> {
    const startMs = performance.now();
    const receivedBytes = await this.messenger.receive(peer, { pass: step.pass, step: step.step }, into);
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
