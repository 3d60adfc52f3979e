/** A static server of one folder that counts what it sends, and can be told to misbehave. */
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

/** Answers a request itself when it returns true. */
export type Misbehave = (request: IncomingMessage, response: ServerResponse) => boolean;

export interface StaticServer {
  /** Of the folder, with a slash at its end. */
  readonly url: URL;
  /** `<path>` or `<path> <range>` of every request so far. */
  readonly requests: string[];
  /** Bytes of ranges of each path. */
  readonly sentBytes: Map<string, number>;
  misbehave: Misbehave;
  close(): Promise<void>;
}

/** Serves `folder` at a path of its own, on a port of the system's choice. */
export async function serveFolder(folder: string): Promise<StaticServer> {
  const [requests, sentBytes] = [[] as string[], new Map<string, number>()];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url as string).replace('/some/model/', '');
    const { range } = request.headers;
    requests.push(range === undefined ? path : `${path} ${range}`);
    if (state.misbehave(request, response)) return;
    const bytes = await readFile(join(folder, path)).catch(() => null);
    if (bytes === null) return void response.writeHead(404).end();
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
    if (from === undefined || to === undefined) return void response.writeHead(200).end(bytes);
    const part = bytes.subarray(Number(from), Number(to) + 1);
    if (part.length === 0) return void response.writeHead(416, { 'Content-Range': `bytes */${bytes.length}` }).end();
    sentBytes.set(path, (sentBytes.get(path) ?? 0) + part.length);
    response.writeHead(206, { 'Content-Range': `bytes ${from}-${Number(from) + part.length - 1}/${bytes.length}` }).end(part);
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const state: StaticServer = {
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/some/model/`),
    requests, sentBytes, misbehave: () => false,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
  return state;
}
