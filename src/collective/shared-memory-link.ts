/** The two directions between this rank and one other of the same machine: payloads through outboxes, the rest over a socket. */
import { RankError } from '../errors.ts';
import {
  INLINE_BYTES, KIND, FrameError, decodeFree, decodeMessage, decodePiece, encodeFrame, encodeFree, encodeMessage, encodePiece, type Kind, type PieceFrame,
} from './frames.ts';
import { Inbox, type Piece } from './inbox.ts';
import { farewell } from './in-process-messenger.ts';
import { LINK_CHUNK_BYTES, type Port } from './link.ts';
import { OUTBOX_LIMIT_BYTES, type Outbox, type PeerOutbox } from './mailbox.ts';
import type { Tag } from './messenger.ts';
import { Pulse, silentFor } from './pulse.ts';
import type { Wire } from './wire.ts';

/** A piece is written while the one before is read: small enough to fill the pipeline, large enough to be worth a notification. */
const PIECE_BYTES = 1 << 20;
/** Of one message. */
const WRITES_IN_FLIGHT = 2;
/** What nobody has asked for stays in the outbox up to here; beyond, it is moved away so that the sender can go on. */
const KEPT_BYTES = OUTBOX_LIMIT_BYTES / 2;

export interface LinkEnds {
  readonly peer: number;
  readonly wire: Wire;
  readonly outbox: Outbox;
  readonly peerOutbox: PeerOutbox;
  readonly deadlineMs: number;
  readonly port?: Port | undefined;
}

export class SharedMemoryLink {
  readonly inbox: Inbox;
  readonly #pulse: Pulse;
  readonly #pieceBytes: number;
  #failure: Error | null = null;
  #closed: Promise<void> | undefined;
  #messages = 0;
  #keptBytes = 0;
  #sentBytes = 0;

  constructor(private readonly ends: LinkEnds) {
    const { peer, wire, deadlineMs, port } = ends;
    this.inbox = new Inbox(peer, port);
    this.#pieceBytes = port === undefined ? PIECE_BYTES : LINK_CHUNK_BYTES;
    this.#pulse = new Pulse(deadlineMs, () => wire.write(encodeFrame(KIND.alive)), (silentMs) => this.#lose(silentFor(silentMs)));
    wire.onData = () => this.#pulse.heard();
    wire.onFrame = (kind, body) => this.#frame(kind, body);
    wire.onLost = (problem) => this.#lose(problem);
  }

  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** See {@link Messenger.send}. */
  async send(tag: Tag, bytes: Uint8Array): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    const id = this.#messages++ >>> 0;
    this.ends.wire.write(encodeMessage({ id, tag, bytes: bytes.length }));
    const pieces = this.#pieces(id, bytes);
    const writers = Array.from({ length: bytes.length > this.#pieceBytes ? WRITES_IN_FLIGHT : 1 }, async () => {
      for (let next = pieces.next(); next.done !== true && this.#failure === null; next = pieces.next()) await next.value();
    });
    // All of them, also after a failure: nothing may read `bytes` any more once this function is over.
    const outcomes = await Promise.allSettled(writers);
    if (this.#failure !== null) throw this.#failure;
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  /** The sending of each piece; they share the message's schedule on the port. An empty message has one piece, too. */
  *#pieces(id: number, bytes: Uint8Array): Generator<() => Promise<void>, void> {
    const { port } = this.ends;
    let departs: number | undefined;
    let offset = 0;
    do {
      const payload = bytes.subarray(offset, offset + this.#pieceBytes);
      const at = offset;
      offset += payload.length;
      yield async () => {
        const departedMs = (departs = port?.depart(payload.length, departs)) ?? NaN;
        await port?.nearly(departedMs);
        await this.#sendPiece({ id, offset: at, departedMs }, payload);
      };
    } while (offset < bytes.length);
  }

  async #sendPiece(head: Pick<PieceFrame, 'id' | 'offset' | 'departedMs'>, payload: Uint8Array): Promise<void> {
    const { outbox, wire } = this.ends;
    let at: number | Uint8Array = payload;
    if (payload.length > INLINE_BYTES) {
      at = await outbox.take(payload.length);
      await outbox.write(payload, at);
    }
    if (this.#failure !== null) throw this.#failure;
    this.#sentBytes += payload.length;
    wire.write(encodePiece({ ...head, bytes: payload.length, at }));
  }

  #frame(kind: Kind, body: Buffer): void {
    if (this.#failure !== null) return;
    if (kind === KIND.message) {
      const { id, tag, bytes } = decodeMessage(body);
      this.inbox.announce(id, tag, bytes);
    } else if (kind === KIND.piece) {
      const frame = decodePiece(body, OUTBOX_LIMIT_BYTES);
      const piece = typeof frame.at === 'number' ? this.#pieceInOutbox(frame, frame.at) : pieceInline(frame, frame.at);
      const known = this.inbox.arrive(frame.id, piece, Number.isNaN(frame.departedMs) ? undefined : frame.departedMs);
      if (!known) throw new FrameError('sent a piece of no message');
    } else if (kind === KIND.free) {
      if (!this.ends.outbox.free(decodeFree(body))) throw new FrameError('freed a region that is not in use');
    } else if (kind === KIND.bye) {
      this.#lose(farewell(body.toString('utf8')), true);
    } else if (kind !== KIND.alive) {
      throw new FrameError('sent bytes that are not of this protocol');
    }
  }

  #pieceInOutbox({ id, offset, bytes }: PieceFrame, region: number): Piece {
    const unclaimed = this.inbox.isUnclaimed(id);
    if (unclaimed && this.#keptBytes + bytes > KEPT_BYTES) return this.#pieceMovedAway(offset, bytes, region);
    if (unclaimed) this.#keptBytes += bytes;
    const free = (): void => {
      if (unclaimed) this.#keptBytes -= bytes;
      this.ends.wire.write(encodeFree(region));
    };
    const take = (into: Uint8Array): Promise<void> | void => {
      const reading = this.ends.peerOutbox.read(into, region);
      return reading === undefined ? free() : reading.then(free);
    };
    return { offset, bytes, take, drop: free };
  }

  #pieceMovedAway(offset: number, bytes: number, region: number): Piece {
    const copy = new Uint8Array(bytes);
    const copied = (async () => {
      await this.ends.peerOutbox.read(copy, region);
      this.ends.wire.write(encodeFree(region));
    })();
    copied.catch(() => undefined); // told to whoever takes it
    return { offset, bytes, take: async (into) => { await copied; into.set(copy); }, drop: () => undefined };
  }

  /** @param whole it said goodbye: what it has sent may still be received */
  #lose(problem: string, whole = false): void {
    if (this.#failure !== null) return;
    const error = new RankError(this.ends.peer, problem);
    this.#failure = error;
    this.#pulse.stop();
    this.ends.outbox.fail(error);
    if (whole) this.inbox.end(error);
    else this.inbox.fail(error);
    if (!whole) this.ends.wire.destroy();
  }

  /** Ends all waits with `failure`; the peer is told `reason`. */
  close(failure: Error, reason?: Error): Promise<void> {
    return (this.#closed ??= this.#close(failure, reason?.message ?? ''));
  }

  async #close(failure: Error, reason: string): Promise<void> {
    const { outbox, peerOutbox, wire } = this.ends;
    this.#pulse.stop();
    this.#failure ??= failure;
    outbox.fail(failure);
    this.inbox.fail(failure);
    await wire.end(reason);
    await Promise.all([outbox.close(), peerOutbox.close()]);
  }
}

/** The frame's body is gone after the call. */
function pieceInline({ offset, bytes }: PieceFrame, payload: Uint8Array): Piece {
  const copy = payload.slice();
  return { offset, bytes, take: (into) => into.set(copy), drop: () => undefined };
}
