/** One HTTP request of a bench's client, with nothing around it that costs time. */
import { type Agent, request } from 'node:http';

export interface Asked {
  readonly path: string;
  readonly body: string | Buffer;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answered {
  readonly status: number;
  /** Seconds after which the server wants to be asked again; 0: it did not say. */
  readonly retryAfter: number;
  readonly contentType: string;
  readonly body: string;
}

/**
 * Sends it and reads the answer to its end.
 * @param signal leaves in the middle
 * @throws what the connection fails with
 */
export function post(url: URL, agent: Agent, { path, body, method = 'POST', headers = { 'content-type': 'application/json' } }: Asked, signal?: AbortSignal): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const sent = request({
      host: url.hostname, port: url.port, path, method, agent, ...(signal && { signal }), headers: { ...headers, 'content-length': Buffer.byteLength(body) },
    }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve({
        status: response.statusCode ?? 0, retryAfter: Number(response.headers['retry-after'] ?? 0), contentType: response.headers['content-type'] ?? '', body: Buffer.concat(chunks).toString(),
      }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
