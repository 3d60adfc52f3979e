/** The server of the teaching page: static files, answered by range where a tab asks for experts. */
import { createReadStream, existsSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import fastifyStatic from '@fastify/static';
import { fastify, type FastifyInstance } from 'fastify';
import { InputError } from '../errors.ts';
import { listenError, urlOf } from '../serving/http/listener.ts';

export interface LearnServerOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Folder of the built page. */
  readonly page: string;
  /** Folder of the model that a tab runs; found as `spam-mail/` by the page. */
  readonly model: string;
  /** A timeline file that the page is to show. */
  readonly trace?: string;
}

export interface LearnServer {
  /** What a browser of this machine is to open. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serves the page until it is closed.
 * @throws InputError when the page has not been built, or the port cannot be opened
 */
export async function openLearnServer({ host, port, page, model, trace }: LearnServerOptions): Promise<LearnServer> {
  if (!existsSync(join(page, 'index.html'))) throw new InputError(page, '', 'the teaching page has not been built; npm run build:learn does it');
  const app = fastify({ forceCloseConnections: true });
  await app.register(fastifyStatic, { root: page });
  await app.register(fastifyStatic, { root: model, prefix: '/spam-mail/', decorateReply: false });
  if (trace !== undefined) serveTrace(app, trace);
  await app.listen({ host, port }).catch((error: unknown) => {
    throw listenError(error as NodeJS.ErrnoException, { host, port });
  });
  const query = trace === undefined ? '' : `?trace=${encodeURIComponent(`traces/${encodeURIComponent(basename(trace))}`)}`;
  const address = app.server.address() as AddressInfo;
  return { url: `${urlOf({ ...address, address: HERE[address.address] ?? address.address })}/${query}`, close: () => app.close() };
}

/** Browsers of this machine give WebGPU to pages from loopback, and to none from "every address". */
const HERE: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** By its name alone: what else lies in its folder is nobody's business. */
function serveTrace(app: FastifyInstance, trace: string): void {
  app.get<{ Params: { name: string } }>('/traces/:name', ({ params: { name } }, reply) =>
    (name === basename(trace) ? reply.type('application/json').send(createReadStream(trace)) : reply.callNotFound()));
}
