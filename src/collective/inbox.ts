/**
 * Where messages of one peer and calls of `receive` find each other: in the order of sending for one tag, in any order otherwise.
 * A transport announces each message, then hands over its pieces as they come; how bytes get from a piece to the receiver is its business.
 */
import { RankError } from '../errors.ts';
import type { Port } from './link.ts';
import type { Tag } from './messenger.ts';

/** A part of a message that has come. */
export interface Piece {
  /** Where in the message it belongs. */
  readonly offset: number;
  readonly bytes: number;
  /** Moves it into `into`, `bytes` long, and gives back what held it. Called once, unless {@link Piece.drop} is. */
  take(into: Uint8Array): Promise<void> | void;
  /** Gives back what held it: nobody wants it. */
  drop(): void;
}

interface Receiver {
  readonly tag: Tag;
  readonly into: Uint8Array;
  resolve(bytes: number): void;
  reject(error: Error): void;
}

interface Message {
  readonly key: string;
  readonly bytes: number;
  arrivedBytes: number;
  movedBytes: number;
  /** An empty message has one piece, too. */
  pieces: number;
  /** When the link has carried what has come so far. */
  hereMs: number;
  /** Came before they were asked for. */
  kept: Piece[];
  receiver: Receiver | null;
  /** Pieces that are being moved: the receiver's memory is in use. */
  moving: number;
  failure: Error | null;
}

const keyOf = ({ pass, step }: Tag): string => `${pass}/${step}`;
const isWhole = (message: Message): boolean => message.pieces > 0 && message.arrivedBytes === message.bytes;

export class Inbox {
  /** Messages whose pieces have not all come, by number. */
  readonly #coming = new Map<number, Message>();
  /** Announced, not asked for. */
  readonly #unclaimed = new Map<string, Message[]>();
  /** Asked for, not announced. */
  readonly #receivers = new Map<string, Receiver[]>();
  /** Asked for and on the way. */
  readonly #claimed = new Set<Message>();
  #ended: Error | null = null;
  #receivedBytes = 0;

  constructor(private readonly peer: number, private readonly port?: Port) {}

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** The peer began to send message number `id` (never used before). */
  announce(id: number, tag: Tag, bytes: number): void {
    if (this.#ended !== null) return;
    const key = keyOf(tag);
    const message: Message = { key, bytes, arrivedBytes: 0, movedBytes: 0, pieces: 0, hereMs: -Infinity, kept: [], receiver: null, moving: 0, failure: null };
    this.#coming.set(id, message);
    const receiver = shiftFrom(this.#receivers, key);
    if (receiver === undefined) pushTo(this.#unclaimed, key, message);
    else this.#claim(message, receiver);
  }

  /** Whether a piece of this message would have to be kept for a `receive` to come. */
  isUnclaimed(id: number): boolean {
    return this.#coming.get(id)?.receiver === null;
  }

  /**
   * A piece of message number `id` came; pieces may come in any order.
   * @param departedMs when it left the peer, on the clock of the port
   * @returns false when there is no such piece to come
   */
  arrive(id: number, piece: Piece, departedMs?: number): boolean {
    if (this.#ended !== null) {
      piece.drop();
      return true;
    }
    const message = this.#coming.get(id);
    if (message === undefined || piece.offset + piece.bytes > message.bytes || message.arrivedBytes + piece.bytes > message.bytes) return false;
    message.pieces++;
    message.arrivedBytes += piece.bytes;
    this.#receivedBytes += piece.bytes;
    if (this.port !== undefined) message.hereMs = Math.max(message.hereMs, this.port.arrive(piece.bytes, departedMs));
    if (isWhole(message)) this.#coming.delete(id);
    if (message.failure !== null) piece.drop();
    else if (message.receiver === null) message.kept.push(piece);
    else void this.#move(message, message.receiver, piece);
    return true;
  }

  receive(tag: Tag, into: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      const key = keyOf(tag);
      const receiver = { tag, into, resolve, reject };
      const message = shiftFrom(this.#unclaimed, key);
      if (message !== undefined) this.#claim(message, receiver);
      else if (this.#ended !== null) reject(this.#ended);
      else pushTo(this.#receivers, key, receiver);
    });
  }

  #claim(message: Message, receiver: Receiver): void {
    message.receiver = receiver;
    this.#claimed.add(message);
    const { tag: { pass, step }, into } = receiver;
    if (message.bytes > into.length) {
      this.#fail(message, new RankError(this.peer, `its message of pass ${pass}, step ${step} has ${message.bytes} bytes; expected at most ${into.length}`));
      return;
    }
    for (const piece of message.kept.splice(0)) void this.#move(message, receiver, piece);
  }

  async #move(message: Message, receiver: Receiver, piece: Piece): Promise<void> {
    message.moving++;
    try {
      await piece.take(receiver.into.subarray(piece.offset, piece.offset + piece.bytes));
      message.movedBytes += piece.bytes;
    } catch (error) {
      message.failure ??= error as Error;
    }
    message.moving--;
    if (message.failure !== null) this.#fail(message, message.failure);
    else if (isWhole(message) && message.movedBytes === message.bytes && message.moving === 0) await this.#finish(message, receiver);
  }

  async #finish(message: Message, receiver: Receiver): Promise<void> {
    await this.port?.until(message.hereMs);
    this.#claimed.delete(message);
    receiver.resolve(message.bytes);
  }

  /** The receiver is told when nothing writes to its memory any more. */
  #fail(message: Message, error: Error): void {
    message.failure ??= error;
    for (const piece of message.kept.splice(0)) piece.drop();
    if (message.moving > 0) return;
    this.#claimed.delete(message);
    message.receiver?.reject(message.failure);
  }

  /** Nothing more will come. What has come whole can still be received; every other `receive` fails with `error`. */
  end(error: Error): void {
    if (this.#ended !== null) return;
    this.#ended = error;
    this.#coming.clear();
    for (const [key, messages] of this.#unclaimed) {
      for (const message of messages) if (!isWhole(message)) this.#fail(message, error);
      this.#unclaimed.set(key, messages.filter(isWhole));
    }
    for (const message of this.#claimed) if (!isWhole(message)) this.#fail(message, error);
    for (const receivers of this.#receivers.values()) for (const receiver of receivers) receiver.reject(error);
    this.#receivers.clear();
  }

  /** Every `receive` fails with `error`, also of what has come. */
  fail(error: Error): void {
    this.end(error);
    this.#ended = error;
    for (const messages of this.#unclaimed.values()) for (const message of messages) this.#fail(message, error);
    this.#unclaimed.clear();
    for (const message of this.#claimed) this.#fail(message, error);
  }
}

function pushTo<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

/** Lists that have become empty go: tags are used once. */
function shiftFrom<T>(lists: Map<string, T[]>, key: string): T | undefined {
  const list = lists.get(key);
  const item = list?.shift();
  if (list?.length === 0) lists.delete(key);
  return item;
}
