/** One collective operation under way: its messages, what they weigh, and its end when one of them fails. */
import { RankError } from '../errors.ts';
import type { Messenger, Tag } from './messenger.ts';

export interface Traffic {
  sentBytes: number;
  receivedBytes: number;
}

export class Operation {
  readonly #pending = new Set<Promise<unknown>>();
  readonly #failed: Promise<never>;
  #fail!: (error: unknown) => void;

  constructor(private readonly messenger: Messenger, private readonly tag: Tag, private readonly traffic: Traffic) {
    this.#failed = new Promise((_, reject) => (this.#fail = reject));
    this.#failed.catch(() => undefined); // told to whoever awaits the operation
  }

  /**
   * Runs `body`. When it or a message fails, the messenger is closed with that reason: an operation that is half done cannot be taken up again,
   * the peers learn who is at fault, and nothing touches the caller's memory once this is over.
   */
  async run<T>(body: () => Promise<T>): Promise<T> {
    const result = body();
    try {
      return await Promise.race([result, this.#failed]);
    } catch (error) {
      void this.messenger.close(error instanceof Error ? error : new Error(String(error)));
      await Promise.allSettled([result, ...this.#pending]);
      throw error;
    }
  }

  #follow<T>(promise: Promise<T>): Promise<T> {
    this.#pending.add(promise);
    const forget = (): void => void this.#pending.delete(promise);
    promise.then(forget, (error: unknown) => {
      forget();
      this.#fail(error);
    });
    return promise;
  }

  send(peer: number, bytes: Uint8Array): Promise<void> {
    this.traffic.sentBytes += bytes.length;
    return this.#follow(this.messenger.send(peer, this.tag, bytes));
  }

  /** At most as many bytes as `into` has room for. @returns how many */
  receive(peer: number, into: Uint8Array): Promise<number> {
    return this.#follow(this.messenger.receive(peer, this.tag, into).then((bytes) => {
      this.traffic.receivedBytes += bytes;
      return bytes;
    }));
  }

  /** @throws RankError when the message does not fill `into` */
  receiveExactly(peer: number, into: Uint8Array): Promise<void> {
    const { pass, step } = this.tag;
    return this.#follow(this.receive(peer, into).then((bytes) => {
      if (bytes !== into.length) throw new RankError(peer, `its message of pass ${pass}, step ${step} has ${bytes} bytes; expected ${into.length}`);
    }));
  }
}
