/** The client's end of a connection: data comes in here, and only small control messages go out. */
import type { Socket } from 'node:net';
import { RankError } from '../../errors.ts';
import type { Membership } from '../messenger.ts';
import { Pulse, silentFor } from '../pulse.ts';
import type { ShardGeometry } from '../transport.ts';
import type { Chunk, ChunkPool } from './chunk-pool.ts';
import { CLOSE, LinkError, type LinkEnd } from './close.ts';
import { decodeControl, describeGeometry, encodeControl, type Control } from './control.ts';
import { dial, type TlsFiles } from './dial.ts';
import type { FrameHeader } from './frame.ts';
import { FrameReader } from './frame-reader.ts';
import { Refusal, readAnswer, upgradeRequest, type Purpose, type UpgradeRequest } from './handshake.ts';
import { OPCODE, closePayload, maskedFrame } from './wire-format.ts';

export interface InboundOptions {
  readonly membership: Membership;
  readonly peer: number;
  readonly address: string;
  readonly purpose: Purpose;
  /** Of weights: what the peer's shards must be. */
  readonly geometry?: ShardGeometry;
  readonly deadlineMs: number;
  readonly tls?: TlsFiles | undefined;
  readonly pool: ChunkPool;
  /** See {@link FrameHandlers}; not called after the link has ended. */
  expect(header: FrameHeader): void;
  frame(header: FrameHeader, payload: Chunk): void;
}

/** A closing handshake takes no longer. */
export const CLOSING_MS = 1_000;

export class InboundLink {
  /** Resolves once, however the connection ends. */
  readonly ended: Promise<LinkEnd>;
  #end: LinkEnd | null = null;
  #resolveEnded!: (end: LinkEnd) => void;
  readonly #socket: Socket;
  readonly #reader: FrameReader;
  readonly #pulse: Pulse;
  /** Null once the upgrade was answered. */
  #request: UpgradeRequest | null = null;
  #answer: Buffer = Buffer.alloc(0);
  #welcomed: (() => void) | null = null;

  private constructor(private readonly options: InboundOptions, onWelcome: () => void) {
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    this.#welcomed = onWelcome;
    const { address, membership, purpose, deadlineMs } = options;
    this.#reader = new FrameReader(options.pool, {
      expect: (header) => options.expect(header),
      frame: (header, payload) => options.frame(header, payload),
      text: (text) => this.#control(decodeControl(text)),
      ping: (payload) => this.#write(OPCODE.pong, payload),
      close: (end) => this.#finish(end, end.code === 1005 ? CLOSE.goodbye : end.code),
    });
    const { socket, ready } = dial(address, {
      space: () => this.#reader.space(),
      filled: (bytes) => this.#read(() => (this.#request === null ? this.#reader.filled(bytes) : this.#readAnswer(this.#reader.space().subarray(0, bytes)))),
      feed: (data) => this.#read(() => (this.#request === null ? this.#reader.feed(data) : this.#readAnswer(data))),
    }, options.tls);
    this.#socket = socket;
    this.#request = upgradeRequest(membership, purpose, new URL(address).host);
    socket.once(ready, () => socket.write((this.#request as UpgradeRequest).text));
    socket.on('error', (error) => this.#finish({ code: CLOSE.cut, reason: error.message }));
    socket.on('close', () => this.#finish({ code: CLOSE.cut, reason: '' }));
    this.#pulse = new Pulse(deadlineMs, () => this.#request === null && this.#write(OPCODE.ping), (silentMs) => this.close({ code: CLOSE.silent, reason: silentFor(silentMs) }));
  }

  /** @throws RankError when the peer is not there, says no, or does not answer within the deadline */
  static async open(options: InboundOptions): Promise<InboundLink> {
    let onWelcome!: () => void;
    const welcomed = new Promise<true>((resolve) => (onWelcome = () => resolve(true)));
    const link = new InboundLink(options, onWelcome);
    const timer = setTimeout(() => link.close({ code: CLOSE.silent, reason: `it did not answer within ${options.deadlineMs / 1e3} s` }), options.deadlineMs);
    const outcome = await Promise.race([welcomed, link.ended]);
    clearTimeout(timer);
    if (outcome === true) return link;
    throw new RankError(options.peer, `cannot be reached at ${options.address}: ${outcome.reason === '' ? `the connection was cut (${outcome.code})` : outcome.reason}`);
  }

  get peer(): number {
    return this.options.peer;
  }

  control(message: Control): void {
    this.#write(OPCODE.text, Buffer.from(encodeControl(message)));
  }

  #write(opcode: number, payload: Uint8Array = new Uint8Array(0)): void {
    if (this.#end === null) this.#socket.write(maskedFrame(opcode, payload));
  }

  #read(consume: () => void): void {
    if (this.#end !== null) return;
    this.#pulse.heard();
    try {
      consume();
    } catch (error) {
      if (error instanceof Refusal) this.#finish({ code: CLOSE.refused, reason: error.status === 0 ? error.reason : error.message });
      else if (error instanceof LinkError) this.close({ code: error.code, reason: error.message });
      else throw error;
    }
  }

  #readAnswer(data: Uint8Array): void {
    this.#answer = Buffer.concat([this.#answer, data]);
    const rest = readAnswer(this.#answer, this.#request as UpgradeRequest);
    if (rest === null) return;
    this.#request = null;
    const { geometry } = this.options;
    this.control({ type: 'hello', ...(geometry === undefined ? {} : { geometry: describeGeometry(geometry) }) });
    this.#reader.feed(rest);
  }

  #control(message: Control): void {
    if (message.type !== 'welcome' || this.#welcomed === null) throw new LinkError(CLOSE.badControl, `control message: ${message.type} was not expected`);
    this.#welcomed();
    this.#welcomed = null;
  }

  /** Says so to the peer, and ends. */
  close(end: LinkEnd): void {
    this.#finish(end, end.code);
  }

  /** @param answer code to close the WebSocket with; none when there is nobody left to tell */
  #finish(end: LinkEnd, answer?: number): void {
    if (this.#end !== null) return;
    if (answer !== undefined && this.#request === null) this.#write(OPCODE.close, closePayload(answer, end.reason));
    this.#end = end;
    this.#pulse.stop();
    this.#reader.end();
    if (answer === undefined || answer === CLOSE.silent) this.#socket.destroy();
    else {
      // What the peer still sends is read and thrown away: to cut it off could lose the reason on its way.
      this.#socket.end();
      const timer = setTimeout(() => this.#socket.destroy(), CLOSING_MS);
      this.#socket.once('close', () => clearTimeout(timer));
    }
    this.#resolveEnded(end);
  }
}
