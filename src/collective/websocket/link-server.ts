/** Where a rank listens: lets in the ranks of its own run, once each, and refuses everything else with a reason. */
import { createServer as createPlain, type IncomingMessage, type Server } from 'node:http';
import { createServer as createSecure } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import { InputError } from '../../errors.ts';
import type { Membership } from '../messenger.ts';
import { CLOSE, LinkError } from './close.ts';
import { MAX_CONTROL_BYTES, type Control } from './control.ts';
import { readPem, type TlsFiles } from './dial.ts';
import { Refusal, checkUpgrade, type Visitor } from './handshake.ts';
import { CLOSING_MS } from './inbound-link.ts';
import { OutboundLink } from './outbound-link.ts';

type Hello = Extract<Control, { type: 'hello' }>;

export interface LinkServerOptions {
  readonly membership: Membership;
  /** 127.0.0.1 unless given. */
  readonly host?: string | undefined;
  /** Chosen by the system unless given. */
  readonly port?: number | undefined;
  readonly tls?: TlsFiles | undefined;
  readonly deadlineMs: number;
  /** @throws LinkError when the visitor expects something else than this rank has */
  check(visitor: Visitor, hello: Hello): void;
  /** A rank that was let in, and welcomed. */
  connected(visitor: Visitor, link: OutboundLink): void;
}

const STATUS: Readonly<Record<number, string>> = { 401: 'Unauthorized', 404: 'Not Found', 409: 'Conflict', 503: 'Service Unavailable' };
/** More than all ranks and their mistakes will ever have. */
const MAX_CONNECTIONS = 64;

export class LinkServer {
  readonly #server: Server;
  readonly #webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, clientTracking: false, maxPayload: MAX_CONTROL_BYTES });
  /** By purpose and rank. */
  readonly #links = new Map<string, OutboundLink | null>();
  #closed = false;

  private constructor(private readonly options: LinkServerOptions) {
    const { tls, deadlineMs } = options;
    const limits = { headersTimeout: deadlineMs, requestTimeout: deadlineMs, connectionsCheckingInterval: Math.max(50, deadlineMs / 4), maxHeaderSize: 8 << 10 };
    this.#server = tls === undefined ? createPlain(limits) : createSecure({ ...limits, cert: readPem(tls.certificate, 'certificate'), key: readPem(tls.key, 'key') });
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on('request', (_, response) => response.writeHead(426, { Connection: 'close' }).end('expected a WebSocket upgrade'));
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket as Socket, head));
  }

  /** @throws InputError when it cannot listen there, or a PEM file cannot be read */
  static async listen(options: LinkServerOptions): Promise<LinkServer> {
    const { host = '127.0.0.1', port = 0 } = options;
    const server = new LinkServer(options);
    await new Promise<void>((resolve, reject) => {
      server.#server.once('error', (error) => reject(new InputError(`${host}:${port}`, '', `cannot listen there: ${error.message}`)));
      server.#server.listen({ host, port }, () => resolve());
    });
    return server;
  }

  /** Where peers connect to. */
  get address(): string {
    const { address, port, family } = this.#server.address() as AddressInfo;
    return `${this.options.tls === undefined ? 'ws' : 'wss'}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    try {
      const visitor = checkUpgrade(request, this.options.membership);
      const place = `${visitor.purpose} ${visitor.peer}`;
      if (this.#closed) throw new Refusal(503, 'this rank is about to end');
      if (this.#links.has(place)) throw new Refusal(409, `rank ${visitor.peer} is connected already`);
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => this.#meet(visitor, place, webSocket, socket));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refuse(socket, error);
    }
  }

  #meet(visitor: Visitor, place: string, webSocket: WebSocket, socket: Socket): void {
    const { deadlineMs, check, connected } = this.options;
    const link = new OutboundLink(visitor.peer, webSocket, socket, deadlineMs);
    this.#links.set(place, link);
    const timer = setTimeout(() => link.close({ code: CLOSE.refused, reason: `no hello within ${deadlineMs / 1e3} s` }), deadlineMs);
    void link.ended.then(() => {
      clearTimeout(timer);
      this.#links.delete(place);
    });
    link.onControl = (message) => {
      if (message.type !== 'hello') throw new LinkError(CLOSE.badControl, `control message: ${message.type} came before hello`);
      check(visitor, message);
      clearTimeout(timer);
      link.onControl = () => {
        throw new LinkError(CLOSE.badControl, 'control message: nothing more was expected');
      };
      link.control({ type: 'welcome' });
      connected(visitor, link);
    };
  }

  /** No connection is taken any more; those there are stay. */
  async close(): Promise<void> {
    this.#closed = true;
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    this.#server.closeAllConnections(); // those that were never upgraded
    await Promise.race([closed, new Promise<void>((resolve) => void setTimeout(resolve, 2 * CLOSING_MS).unref())]);
  }
}

/** Answers in HTTP, and ends the connection even if the other side does not. */
function refuse(socket: Socket, { status, reason }: Refusal): void {
  const body = Buffer.from(reason);
  socket.write(`HTTP/1.1 ${status} ${STATUS[status] ?? 'Refused'}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n`);
  socket.end(body);
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), CLOSING_MS);
  socket.once('close', () => clearTimeout(timer));
}
