/** Sockets to peers, plain or TLS, that hand what they read to a {@link Sink}. */
import { readFileSync } from 'node:fs';
import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { InputError } from '../../errors.ts';

/** PEM files. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  /** Whom the certificates of peers must be signed by; the certificate itself where it is self-signed. */
  readonly authority?: string;
}

/** Where the bytes that a socket reads go. */
export interface Sink {
  /** Where the next bytes should be read to. */
  space(): Uint8Array;
  /** So many have been. */
  filled(bytes: number): void;
  /** Bytes that were read elsewhere. */
  feed(data: Uint8Array): void;
}

/** @throws InputError when a file cannot be read */
export function readPem(file: string, what: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new InputError(file, '', `${(error as Error).message}; expected the ${what} in PEM form`);
  }
}

/**
 * A plain socket reads straight into the sink's memory, which saves a copy and the making of fresh buffers.
 * @param address `ws://HOST:PORT` or `wss://HOST:PORT`
 * @throws InputError when it is neither
 */
export function dial(address: string, sink: Sink, tls?: TlsFiles): { socket: Socket; ready: 'connect' | 'secureConnect' } {
  const url = URL.canParse(address) ? new URL(address) : null;
  const host = url?.hostname.replace(/^\[(.*)\]$/, '$1') ?? '';
  const port = Number(url?.port);
  if (url?.protocol === 'ws:' && port > 0) {
    const onread = { buffer: () => sink.space(), callback: (bytes: number) => (sink.filled(bytes), true) };
    return { socket: connectPlain({ host, port, noDelay: true, onread }), ready: 'connect' };
  }
  if (url?.protocol === 'wss:' && port > 0) {
    const authority = tls?.authority ?? tls?.certificate;
    const ca = authority === undefined ? {} : { ca: readPem(authority, "authority's certificate") };
    const socket = connectTls({ host, port, ...(isIP(host) ? {} : { servername: host }), ...ca });
    socket.setNoDelay(true);
    socket.on('data', (data: Buffer) => sink.feed(data));
    return { socket, ready: 'secureConnect' };
  }
  throw new InputError(address, '', 'not where a rank listens; expected ws://HOST:PORT or wss://HOST:PORT');
}
