/**
 * Messages between ranks: what collectives and the strategies that move activations are built on. A messenger moves bytes between
 * `Uint8Array`s it is handed (a mapped staging range is one) and knows neither device nor model.
 */

import type { Link, Port } from './link.ts';

/** Names a message between two ranks. Messages of one tag from one peer arrive in the order in which they were sent. */
export interface Tag {
  /** The batch it belongs to (u32). */
  readonly pass: number;
  /** Counts the exchanges of a pass (u32). */
  readonly step: number;
}

/** Bytes that went over the link: payloads, without frame headers. */
export interface TransferCount {
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

/**
 * Ordered, reliable, tagged messages of any length between any two ranks. Passes under way at the same time use different tags; a message
 * that comes before it is asked for is kept (a pass has at most one exchange under way, which bounds what is kept).
 */
export interface Messenger {
  readonly rank: number;
  readonly world: number;
  /**
   * Resolves when `bytes` may be used again: the peer need not have received them.
   * @throws RankError naming the peer whose link is cut or silent for longer than the deadline
   */
  send(peer: number, tag: Tag, bytes: Uint8Array): Promise<void>;
  /**
   * Receives a message into the beginning of `into` and returns its length. `into` is not touched after the promise has settled.
   * @throws RankError naming the peer: its link is cut, it gave no sign of life for longer than the deadline, or its message is longer than `into`
   */
  receive(peer: number, tag: Tag, into: Uint8Array): Promise<number>;
  /** Since the start. */
  transferred(): TransferCount;
  /** Ends all waits with `reason` (an error that names the rank at fault) or, without one, with "closed". */
  close(reason?: Error): Promise<void>;
}

export interface MessengerOptions {
  /** A peer that gives no sign of life for so long is given up. Living ranks give one at least four times as often. */
  readonly deadlineMs: number;
  /** Shapes what is sent and received; unlimited otherwise. */
  readonly link?: Link;
  /** The port to use in place of one made from `link`: the one through which the rank's reads of shards go, too. */
  readonly port?: Port;
}

/** Which world a host belongs to; checked when ranks meet. */
export interface Membership {
  /** Letters and digits that name the run. */
  readonly runId: string;
  readonly rank: number;
  readonly world: number;
  /** What a process must show to be let in; the same for every rank of the run. */
  readonly token: string;
}

/** How a rank comes to its messenger: it listens, learns the addresses of all ranks from the rendezvous, and connects. */
export interface MessengerHost {
  /** @returns where peers reach this rank */
  listen(): Promise<string>;
  /**
   * @param addresses of all ranks, by rank; the own one is not looked at
   * @throws RankError naming the first peer that was not there within the deadline
   */
  connect(addresses: readonly string[]): Promise<Messenger>;
  /** Stops listening, and closes the messenger if there is one. */
  close(reason?: Error): Promise<void>;
}
