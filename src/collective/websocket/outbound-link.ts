/** The server's end of a connection: data goes out here, and only small control messages come in. */
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { Pulse, silentFor } from '../pulse.ts';
import { CLOSE, LinkError, clipReason, type LinkEnd } from './close.ts';
import { decodeControl, encodeControl, type Control } from './control.ts';
import { HEADER_BYTES, encodeHeader, type FrameHeader } from './frame.ts';
import { CLOSING_MS } from './inbound-link.ts';
import { MAX_HEAD_BYTES, OPCODE, writeHead } from './wire-format.ts';

/** Payloads handed to the socket and not yet taken by the kernel: enough to keep it busy. */
const WINDOW_BYTES = 2 << 20;

export class OutboundLink {
  /** Resolves once, however the connection ends. */
  readonly ended: Promise<LinkEnd>;
  #end: LinkEnd | null = null;
  #resolveEnded!: (end: LinkEnd) => void;
  /** What comes from the client; set by whoever takes the link over. */
  onControl: (message: Control) => void = () => undefined;
  readonly #pulse: Pulse;
  readonly #waiting: (() => void)[] = [];
  #inFlightBytes = 0;
  #sequence = 0;
  #sentBytes = 0;

  /**
   * @param socket the one under `webSocket`: frames with payloads are written to it as they are, in two parts, because WebSocket
   * libraries take a message in one piece and would have header and payload copied together first
   */
  constructor(readonly peer: number, private readonly webSocket: WebSocket, private readonly socket: Socket, deadlineMs: number) {
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    this.#pulse = new Pulse(deadlineMs, () => this.#ping(), (silentMs) => this.close({ code: CLOSE.silent, reason: silentFor(silentMs) }));
    socket.on('data', () => this.#pulse.heard());
    socket.setNoDelay(true);
    webSocket.on('message', (data: Buffer, isBinary) => this.#read(data, isBinary));
    webSocket.on('error', (error: Error & { code?: string }) => {
      // Of a peer that broke the rules of WebSocket; the library closes with the code that says which.
      const broken = error.code?.startsWith('WS_ERR') === true;
      this.#finish({ code: broken ? CLOSE.protocol : CLOSE.cut, reason: error.message });
    });
    webSocket.on('close', (code, reason) => this.#finish({ code, reason: reason.toString('utf8') }));
  }

  /** Bytes of payloads since the start. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** Resolves when the next frame may be sent; those who ask take turns. */
  async room(): Promise<void> {
    while (this.#end === null && this.#inFlightBytes >= WINDOW_BYTES) await new Promise<void>((resolve) => void this.#waiting.push(resolve));
  }

  /** Frames are sent in the order of calls. Resolves when nobody reads the payload any more: false when the link ended before the kernel had it. */
  send(header: FrameHeader, payload: Uint8Array): Promise<boolean> {
    if (this.#end !== null) return Promise.resolve(false);
    const head = Buffer.allocUnsafe(MAX_HEAD_BYTES + HEADER_BYTES);
    const start = writeHead(OPCODE.binary, HEADER_BYTES + payload.length, head);
    encodeHeader(header, this.#sequence++, head, start);
    this.#inFlightBytes += payload.length;
    this.#sentBytes += payload.length;
    return new Promise((resolve) => {
      const done = (error?: Error | null): void => {
        this.#inFlightBytes -= payload.length;
        this.#waiting.shift()?.();
        resolve(!error);
      };
      const headPart = head.subarray(0, start + HEADER_BYTES);
      if (payload.length === 0) return void this.socket.write(headPart, done);
      this.socket.cork();
      this.socket.write(headPart);
      this.socket.write(payload, done);
      this.socket.uncork();
    });
  }

  control(message: Control): void {
    if (this.#end === null) this.webSocket.send(encodeControl(message), () => undefined);
  }

  #ping(): void {
    if (this.webSocket.readyState === WebSocket.OPEN) this.webSocket.ping(undefined, undefined, () => undefined);
  }

  #read(data: Buffer, isBinary: boolean): void {
    if (this.#end !== null) return;
    try {
      if (isBinary) throw new LinkError(CLOSE.unexpectedData, 'binary frames go from server to client only');
      this.onControl(decodeControl(data.toString('utf8')));
    } catch (error) {
      if (!(error instanceof LinkError)) throw error;
      this.close({ code: error.code, reason: error.message });
    }
  }

  /** Says so to the peer, and ends. */
  close(end: LinkEnd): void {
    if (this.#end === null) this.webSocket.close(end.code, clipReason(end.reason));
    this.#finish(end);
  }

  #finish(end: LinkEnd): void {
    if (this.#end !== null) return;
    this.#end = end;
    this.#pulse.stop();
    if (end.code === CLOSE.silent) this.webSocket.terminate(); // it would not hear the reason
    else if (!this.socket.destroyed) {
      const timer = setTimeout(() => this.webSocket.terminate(), CLOSING_MS);
      this.socket.once('close', () => clearTimeout(timer));
    }
    for (const resume of this.#waiting.splice(0)) resume();
    this.#resolveEnded(end);
  }
}
