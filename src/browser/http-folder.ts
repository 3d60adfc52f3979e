/** A model folder on any static HTTP server that answers range requests. */
import { InputError } from '../errors.ts';
import type { ModelFiles } from '../model/files.ts';
import { mergeReads } from './merge-reads.ts';

export interface HttpFolderOptions {
  /** What the folder holds, where that is known: then nothing is asked for that is not there, which a browser would report in its console. */
  readonly names?: readonly string[];
  /**
   * Whether the browser may keep what was read. Not by default (`no-store`): experts are to come over the network each time a slot is filled,
   * as they come from another rank's memory on a server.
   */
  readonly cache?: RequestCache;
  /** A request that has not been answered whole after so long has failed; a minute by default. */
  readonly deadlineMs?: number;
}

const DEADLINE_MS = 60_000;

export interface HttpFolder extends ModelFiles {
  /** Bytes of all answers so far. */
  readonly receivedBytes: number;
}

/** How an answer names the range: `bytes 0-0/6205664`, or without a range where the file is empty. */
const TOTAL = /\/(\d+)$/;

class Folder implements HttpFolder {
  readonly name: string;
  readonly read: ModelFiles['read'];
  receivedBytes = 0;
  readonly #base: URL;
  readonly #sizes = new Map<string, Promise<number | null>>();
  readonly #closing = new AbortController();

  constructor(url: URL, private readonly options: HttpFolderOptions) {
    this.#base = new URL(url);
    if (!this.#base.pathname.endsWith('/')) this.#base.pathname += '/';
    this.name = this.#base.href.slice(0, -1);
    const read = mergeReads((path, offset, length) => this.#range(path, offset, length));
    this.read = async (path, offset, length) => (length === 0 ? new Uint8Array(0) : read(path, offset, length));
  }

  async exists(path: string): Promise<boolean> {
    return this.options.names?.includes(path) ?? (await this.#size(path)) !== null;
  }

  async size(path: string): Promise<number> {
    const bytes = await this.#size(path);
    if (bytes === null) throw this.#error(path, 'no such file (status 404)');
    return bytes;
  }

  async text(path: string): Promise<string> {
    const response = await this.#fetch(path, {});
    if (!response.ok) throw this.#refused(path, response);
    const bytes = await this.#told(path, () => response.arrayBuffer());
    this.receivedBytes += bytes.byteLength;
    return new TextDecoder().decode(bytes);
  }

  async close(): Promise<void> {
    this.#closing.abort(new InputError(this.name, '', 'was closed'));
  }

  /** Asked for once; null where there is no such file. */
  #size(path: string): Promise<number | null> {
    const known = this.#sizes.get(path) ?? this.#askSize(path);
    this.#sizes.set(path, known);
    return known;
  }

  async #askSize(path: string): Promise<number | null> {
    const response = await this.#fetch(path, { Range: 'bytes=0-0' });
    await response.body?.cancel();
    if (response.status === 404) return null;
    // 416: no first byte, the file is empty
    const total = TOTAL.exec(response.headers.get('Content-Range') ?? '')?.[1];
    if ((response.status !== 206 && response.status !== 416) || total === undefined) throw this.#refused(path, response);
    return Number(total);
  }

  async #range(path: string, offset: number, length: number): Promise<Uint8Array> {
    const response = await this.#fetch(path, { Range: `bytes=${offset}-${offset + length - 1}` });
    if (response.status !== 206 && response.status !== 416) {
      await response.body?.cancel();
      throw this.#refused(path, response);
    }
    const bytes = response.status === 416 ? new Uint8Array(0) : new Uint8Array(await this.#told(path, () => response.arrayBuffer()));
    this.receivedBytes += bytes.length;
    if (bytes.length !== length) throw this.#error(path, `ends at byte ${offset + bytes.length}; expected ${offset + length} bytes at least`);
    return bytes;
  }

  #fetch(path: string, headers: Record<string, string>): Promise<Response> {
    const { cache = 'no-store', deadlineMs = DEADLINE_MS } = this.options;
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(deadlineMs)]);
    return this.#told(path, () => fetch(new URL(path, this.#base), { headers, cache, signal }));
  }

  /** @throws what `step` of a request fails with, as an error of this folder */
  async #told<T>(path: string, step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      const { signal } = this.#closing;
      if (signal.aborted) throw signal.reason;
      const { name, message } = error as Error;
      const { deadlineMs = DEADLINE_MS } = this.options;
      throw this.#error(path, name === 'TimeoutError' ? `did not come within ${deadlineMs / 1000} s` : `cannot be fetched: ${message}`);
    }
  }

  #refused(path: string, { status, statusText }: Response): InputError {
    if (status === 404) return this.#error(path, 'no such file (status 404)');
    if (status === 200) return this.#error(path, 'the server sends the whole file where a part was asked for; expected one that answers range requests (status 206)');
    return this.#error(path, `the server answered ${status}${statusText === '' ? '' : ` ${statusText}`}`);
  }

  #error(path: string, problem: string): InputError {
    return new InputError(`${this.name}/${path}`, '', problem);
  }
}

/** Opens the folder at `url`; nothing is asked for yet. Reads of neighbouring ranges that are asked for together are one request. */
export const openHttpFolder = (url: URL, options: HttpFolderOptions = {}): HttpFolder => new Folder(url, options);
