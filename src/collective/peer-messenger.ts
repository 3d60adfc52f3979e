/** A messenger made of one link to each peer: what those between processes are. */
import { AsyncepError } from '../errors.ts';
import { checkPeer } from './in-process-messenger.ts';
import type { Inbox } from './inbox.ts';
import type { Messenger, Tag, TransferCount } from './messenger.ts';

/** Messages to one peer, and from it. */
export interface PeerLink {
  readonly inbox: Pick<Inbox, 'receive' | 'receivedBytes'>;
  readonly sentBytes: number;
  send(tag: Tag, bytes: Uint8Array): Promise<void>;
  /** @param error what all waits end with; @param reason what the peer is told, if there is one to tell */
  close(error: Error, reason?: Error): Promise<void> | void;
}

export class PeerMessenger implements Messenger {
  readonly world: number;
  #closing: Promise<void> | undefined;

  /** @param links by rank; none to the own */
  constructor(readonly rank: number, private readonly links: readonly (PeerLink | null)[]) {
    this.world = links.length;
  }

  #to(peer: number): PeerLink {
    checkPeer(this, peer);
    return this.links[peer] as PeerLink;
  }

  async send(peer: number, tag: Tag, bytes: Uint8Array): Promise<void> {
    return this.#to(peer).send(tag, bytes);
  }

  async receive(peer: number, tag: Tag, into: Uint8Array): Promise<number> {
    return this.#to(peer).inbox.receive(tag, into);
  }

  transferred(): TransferCount {
    const sum = (bytes: (link: PeerLink) => number): number => this.links.reduce((total, link) => total + (link === null ? 0 : bytes(link)), 0);
    return { sentBytes: sum(({ sentBytes }) => sentBytes), receivedBytes: sum(({ inbox }) => inbox.receivedBytes) };
  }

  close(reason?: Error): Promise<void> {
    const error = reason ?? new AsyncepError('closed');
    this.#closing ??= Promise.all(this.links.map((link) => link?.close(error, reason))).then(() => undefined);
    return this.#closing;
  }
}
