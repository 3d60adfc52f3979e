/** Messages to and from one peer: what it sends comes over the connection to it, what goes to it over its own to this rank. */
import { crc32 } from 'node:zlib';
import { RankError } from '../../errors.ts';
import { Inbox } from '../inbox.ts';
import { LINK_CHUNK_BYTES, type Port } from '../link.ts';
import type { Tag } from '../messenger.ts';
import type { Chunk } from './chunk-pool.ts';
import { CLOSE, LinkError, errorOfEnd, farewellEnd, type LinkEnd } from './close.ts';
import { MAX_PAYLOAD_BYTES, type FrameHeader } from './frame.ts';
import type { InboundLink } from './inbound-link.ts';
import type { OutboundLink } from './outbound-link.ts';

/** A peer may send so much that nobody has asked for; passes under way have far less. */
export const MAX_KEPT_BYTES = 2 ** 30;
/** Messages from one peer of which a part has come. */
const MAX_COMING = 1024;

interface Coming {
  readonly id: number;
  readonly totalBytes: number;
  nextOffset: number;
}

export class MessagePeer {
  readonly inbox: Inbox;
  /** Messages of which a part is due, by tag. */
  readonly #coming = new Map<string, Coming>();
  /** The last message of each tag that is being sent: the next one waits for it. */
  readonly #sending = new Map<string, Promise<void>>();
  readonly #chunkBytes: number;
  #inbound: InboundLink | null = null;
  #outbound: OutboundLink | null = null;
  /** Nothing can be sent any more. */
  #failure: Error | null = null;
  #messages = 0;
  #keptBytes = 0;

  constructor(private readonly rank: number, readonly peer: number, private readonly port: Port | undefined, private readonly maxKeptBytes = MAX_KEPT_BYTES) {
    this.inbox = new Inbox(peer, port);
    this.#chunkBytes = port === undefined ? MAX_PAYLOAD_BYTES : LINK_CHUNK_BYTES;
  }

  /** Why a connection from the peer is no use any more; null while it is awaited. */
  get gone(): string | null {
    return this.#outbound === null && this.#failure === null ? null : `rank ${this.peer} was here before`;
  }

  get sentBytes(): number {
    return this.#outbound?.sentBytes ?? 0;
  }

  /** This rank's connection to the peer. */
  setInbound(link: InboundLink): void {
    this.#inbound = link;
    void link.ended.then((end) => {
      if (end.code !== CLOSE.goodbye && end.code !== CLOSE.failed) return this.#lose(end);
      this.#failure ??= errorOfEnd(this.peer, end);
      this.inbox.end(errorOfEnd(this.peer, end));
    });
  }

  /** The peer's connection to this rank. */
  setOutbound(link: OutboundLink): void {
    this.#outbound = link;
    void link.ended.then((end) => {
      // What the peer sent before it said goodbye may still be on its way.
      if (end.code === CLOSE.goodbye || end.code === CLOSE.failed) this.#failure ??= errorOfEnd(this.peer, end);
      else this.#lose(end);
    });
  }

  #lose(end: LinkEnd): void {
    const error = errorOfEnd(this.peer, end);
    this.#failure ??= error;
    this.inbox.fail(error);
    // Of one that is silent nothing will be heard on the other connection either.
    const told = end.code === CLOSE.silent ? end : farewellEnd(error);
    this.#inbound?.close(told);
    this.#outbound?.close(told);
  }

  /** Where the next frame goes to. @throws LinkError when it is not one that is due */
  expect({ kind, origin, pass, layer, lengthBytes, offsetBytes, totalBytes }: FrameHeader): void {
    if (kind !== 'message') throw bad(`kind ${kind}; expected message`);
    if (origin !== this.peer) throw bad(`origin ${origin}; expected ${this.peer}`);
    const key = `${pass}/${layer}`;
    const coming = this.#coming.get(key) ?? { id: this.#messages, totalBytes, nextOffset: 0 };
    if (totalBytes !== coming.totalBytes) throw bad(`total ${totalBytes}; expected ${coming.totalBytes}`);
    if (offsetBytes !== coming.nextOffset) throw bad(`offset ${offsetBytes}; expected ${coming.nextOffset}`);
    if (coming.id === this.#messages) this.#messages++;
    coming.nextOffset += lengthBytes;
    this.#coming.set(key, coming);
    if (this.#coming.size > MAX_COMING) throw bad(`message ${MAX_COMING + 1} at a time; expected at most ${MAX_COMING}`);
  }

  /** The payload of the frame that was expected last. */
  frame({ pass, layer, lengthBytes, offsetBytes, totalBytes }: FrameHeader, payload: Chunk): void {
    const key = `${pass}/${layer}`;
    const { id, nextOffset } = this.#coming.get(key) as Coming;
    if (nextOffset === totalBytes) this.#coming.delete(key);
    if (offsetBytes === 0) this.inbox.announce(id, { pass, step: layer }, totalBytes);
    let keptBytes = this.inbox.isUnclaimed(id) ? lengthBytes : 0;
    this.#keptBytes += keptBytes;
    const drop = (): void => {
      this.#keptBytes -= keptBytes;
      keptBytes = 0;
      payload.release();
    };
    const take = (into: Uint8Array): void => {
      into.set(payload.bytes);
      drop();
    };
    this.inbox.arrive(id, { offset: offsetBytes, bytes: lengthBytes, take, drop });
    if (this.#keptBytes > this.maxKeptBytes) throw bad(`more than ${this.maxKeptBytes} bytes that nobody has asked for`);
  }

  /** See {@link Messenger.send}. */
  send(tag: Tag, bytes: Uint8Array): Promise<void> {
    const key = `${tag.pass}/${tag.step}`;
    const before = this.#sending.get(key);
    const sent = before === undefined ? this.#send(tag, bytes) : before.then(() => this.#send(tag, bytes), () => this.#send(tag, bytes));
    this.#sending.set(key, sent);
    const forget = (): void => void (this.#sending.get(key) === sent && this.#sending.delete(key));
    sent.then(forget, forget);
    return sent;
  }

  async #send({ pass, step }: Tag, bytes: Uint8Array): Promise<void> {
    const written: Promise<boolean>[] = [];
    let offsetBytes = 0;
    let departs: number | undefined;
    do {
      const payload = bytes.subarray(offsetBytes, offsetBytes + this.#chunkBytes);
      departs = this.port?.depart(payload.length, departs);
      if (departs !== undefined) await this.port?.nearly(departs);
      await this.#outbound?.room();
      if (this.#failure !== null || this.#outbound === null) break;
      const header = { kind: 'message', origin: this.rank, pass, layer: step, lengthBytes: payload.length, offsetBytes, totalBytes: bytes.length, crc: crc32(payload) } as const;
      written.push(this.#outbound.send(header, payload));
      offsetBytes += payload.length;
    } while (offsetBytes < bytes.length);
    // All of them, also after a failure: nothing may read `bytes` any more once this function is over.
    const outcomes = await Promise.all(written);
    if (outcomes.length > 0 && offsetBytes >= bytes.length && !outcomes.includes(false)) return;
    throw this.#failure ?? (this.#outbound === null ? new RankError(this.peer, 'it is not connected') : errorOfEnd(this.peer, await this.#outbound.ended));
  }

  close(error: Error, reason?: Error): void {
    this.#failure ??= error;
    this.inbox.fail(error);
    this.#inbound?.close(farewellEnd(reason));
    this.#outbound?.close(farewellEnd(reason));
  }
}

const bad = (problem: string): LinkError => new LinkError(CLOSE.badFrame, `message: ${problem}`);
