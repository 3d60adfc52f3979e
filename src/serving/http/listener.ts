/**
 * The open port. It is taken before the model is loaded, so that a port in use is refused before any work; until the API is there it tells that the
 * server is starting.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { InputError } from '../../errors.ts';
import { failure, INVALID, type Failure } from '../operations/failure.ts';

export interface ListenerOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Milliseconds in which a request must have come in whole. */
  readonly requestTimeoutMs: number;
  /** Milliseconds for which an idle connection is kept. */
  readonly keepAliveMs: number;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export interface Listener {
  /** `http://127.0.0.1:8000` */
  readonly url: string;
  /** Hands requests to the API from now on. */
  serve(handler: Handler): void;
  /** Requests with a body that came in and have not been answered to the last byte; pages that are watched do not count. */
  readonly underWay: number;
  /** Resolves when there are none. */
  idle(): Promise<void>;
  /** Takes no connections any more and ends those that are there. */
  close(): Promise<void>;
}

/** Connections that may wait to be accepted; the system caps it (net.core.somaxconn). */
const BACKLOG = 4096;

/** How often connections are looked at for requests that do not come to their end. */
const CHECK_MS = 5000;

const STARTING = failure(503, 'service_unavailable_error', 'the server is loading its model', { code: 'starting', retryAfter: 5 });

/** Before the model is there. */
const starting: Handler = ({ url }, response) => {
  const path = url?.split('?', 1)[0];
  if (path === '/health') return write(response, 200, { status: 'ok' });
  if (path === '/ready') return write(response, 503, { status: 'starting' });
  response.setHeader('retry-after', STARTING.retryAfter!);
  return write(response, STARTING.status, STARTING.body);
};

function write(response: ServerResponse, status: number, body: object): void {
  // What the client still sends is not waited for.
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', connection: 'close' }).end(JSON.stringify(body));
}

/** The answer to what is no HTTP at all, or comes too slowly. */
function refuse(error: NodeJS.ErrnoException, socket: Socket, last: ServerResponse | undefined): void {
  // Two answers would mingle: one is being written, or was given before its request was there in whole.
  const midway = last !== undefined && last.headersSent && !(last.writableFinished && last.req.complete);
  if (error.code === 'ECONNRESET' || !socket.writable || midway) return void socket.destroy(error);
  const { status, body } = refusalOf(error.code);
  const text = JSON.stringify(body);
  const reasons: Record<number, string> = { 400: 'Bad Request', 408: 'Request Timeout', 431: 'Request Header Fields Too Large' };
  socket.end(`HTTP/1.1 ${status} ${reasons[status]}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`);
}

function refusalOf(code: string | undefined): Failure {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return failure(408, INVALID, 'the request did not come in time', { code: 'request_timeout' });
  if (code === 'HPE_HEADER_OVERFLOW') return failure(431, INVALID, 'the headers are too long', { code: 'headers_too_long' });
  return failure(400, INVALID, 'the request is no HTTP', {});
}

async function listen(server: Server, { host, port }: ListenerOptions): Promise<void> {
  server.listen({ host, port, backlog: BACKLOG });
  try {
    await once(server, 'listening');
  } catch (error) {
    throw listenError(error as NodeJS.ErrnoException, { host, port });
  }
}

/** Why a port could not be opened, by the flag that is to change. */
export function listenError({ code, message }: NodeJS.ErrnoException, { host, port }: Pick<ListenerOptions, 'host' | 'port'>): InputError {
  if (code === 'EADDRINUSE') return new InputError('--port', String(port), `is in use on ${host}; expected a free one (0 takes any)`);
  if (code === 'EACCES') return new InputError('--port', String(port), 'may not be opened by this user; expected one above 1023');
  return new InputError('--host', host, `cannot be listened on (${code ?? message}); expected an address of this machine`);
}

/** `http://127.0.0.1:8000` */
export const urlOf = ({ family, address, port }: AddressInfo): string => `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;

/**
 * Opens the port.
 * @throws InputError that names the flag
 */
export async function openListener(options: ListenerOptions): Promise<Listener> {
  const { requestTimeoutMs: requestTimeout, keepAliveMs: keepAliveTimeout } = options;
  let current = starting;
  let underWay = 0;
  let whenIdle: (() => void)[] = [];
  /** The latest answer on each connection. */
  const last = new WeakMap<Socket, ServerResponse>();
  const ended = (): void => {
    if (--underWay > 0) return;
    for (const tell of whenIdle) tell();
    whenIdle = [];
  };
  const server = createServer({ requestTimeout, headersTimeout: requestTimeout, connectionsCheckingInterval: Math.min(requestTimeout, CHECK_MS), keepAliveTimeout, noDelay: true }, (request, response) => {
    last.set(request.socket, response);
    if (request.method === 'POST') {
      underWay++;
      response.once('close', ended);
    }
    current(request, response);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuse(error, socket as Socket, last.get(socket as Socket)));
  await listen(server, options);
  return {
    url: urlOf(server.address() as AddressInfo),
    serve: (handler) => { current = handler; },
    get underWay() { return underWay; },
    idle: () => (underWay === 0 ? Promise.resolve() : new Promise((resolve) => { whenIdle.push(resolve); })),
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}
