import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { openListener } from '../../src/serving/http/listener.ts';
import { drainAndClose } from '../../src/serving/http/shutdown.ts';
import { fakeServer, until } from './http-fakes.ts';

const BODY = JSON.stringify({ prompt: [1, 2, 3] });
const post = (url: string, body = BODY, signal?: AbortSignal): Promise<Response> =>
  fetch(`${url}/v1/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body, ...(signal && { signal }) });

/** Sends bytes over a connection of its own and reads until the other side ends it. */
async function raw(url: string, text: string | Buffer): Promise<string> {
  const socket = await dial(url);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.write(text);
  await once(socket, 'close', { signal: AbortSignal.timeout(10_000) });
  return Buffer.concat(chunks).toString();
}

async function dial(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {}); // a reset ends the connection as well
  await once(socket, 'connect');
  return socket;
}

const request = (line: string, headers: readonly string[] = [], body = ''): string => [line, 'host: x', ...headers, '', body].join('\r\n');

describe('a client that leaves', () => {
  it('withdraws all its prompts', async () => {
    const { listener, service } = await fakeServer();
    service.hold();
    const leaving = new AbortController();
    const gone = post(listener.url, JSON.stringify({ prompt: ['a', 'b', 'c'] }), leaving.signal).catch(() => 'gone');
    await until(() => service.requests.length === 3, 'three prompts were submitted');
    leaving.abort();
    expect(await gone).toBe('gone');
    await until(() => service.withdrawn.length === 3, 'three prompts were withdrawn');
    expect((await fetch(`${listener.url}/health`)).status).toBe(200);
  });

  it('while its body is on the way asks nothing, and is no error of the server', async () => {
    const errors: unknown[] = [];
    const { listener, service } = await fakeServer({ onError: (error) => errors.push(error) });
    const socket = await dial(listener.url);
    socket.write(request('POST /v1/completions HTTP/1.1', ['content-type: application/json', 'content-length: 100'], '{"prompt":'));
    await until(() => listener.underWay === 1, 'the request is under way');
    socket.destroy();
    await listener.idle();
    expect((await post(listener.url)).status).toBe(200);
    expect([service.requests.length, errors]).toEqual([1, []]);
  });

  it('that has its answer withdraws nothing', async () => {
    const { listener, service } = await fakeServer();
    expect((await post(listener.url)).status).toBe(200);
    expect(service.requests[0]!.signal!.aborted).toBe(false);
    expect(service.withdrawn).toEqual([]);
  });

  it('is given up by the server when an answer takes too long', async () => {
    const { listener, service } = await fakeServer({ timeoutMs: 30 });
    service.hold();
    const answer = await post(listener.url);
    expect([answer.status, await answer.json()]).toEqual([504, { error: { message: 'the request was not answered within 0.03 s; it was withdrawn', type: 'timeout_error', param: null, code: 'timeout' } }]);
    expect(service.withdrawn).toHaveLength(1);
  });
});

describe('the port', () => {
  it('tells that the server is starting until the API is there', async () => {
    const listener = await openListener({ host: '127.0.0.1', port: 0, requestTimeoutMs: 1000, keepAliveMs: 1000 });
    expect((await fetch(`${listener.url}/health`)).status).toBe(200);
    expect(await (await fetch(`${listener.url}/ready`)).json()).toEqual({ status: 'starting' });
    const early = await post(listener.url);
    expect([early.status, early.headers.get('retry-after'), (await early.json() as any).error.code]).toEqual([503, '5', 'starting']);
    await listener.close();
  });

  it('is refused when it is in use, with the flag that sets it', async () => {
    const { listener } = await fakeServer();
    const port = Number(new URL(listener.url).port);
    const options = { host: '127.0.0.1', port, requestTimeoutMs: 1000, keepAliveMs: 1000 };
    await expect(openListener(options)).rejects.toThrow(`--port: ${port}: is in use on 127.0.0.1; expected a free one (0 takes any)`);
    await expect(openListener({ ...options, host: '203.0.113.7', port: 0 })).rejects.toThrow('--host: 203.0.113.7: cannot be listened on (EADDRNOTAVAIL); expected an address of this machine');
  });

  it('refuses what is no HTTP, and requests that do not come to their end', async () => {
    const { listener } = await fakeServer();
    expect(await raw(listener.url, 'HELLO\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n[^]*"the request is no HTTP"/);
    expect(await raw(listener.url, request('GET / HTTP/1.1', [`x: ${'y'.repeat(40_000)}`]))).toMatch(/^HTTP\/1\.1 431 [^]*"headers_too_long"/);
    expect(await raw(listener.url, request('POST /v1/completions HTTP/1.1', ['content-type: application/json', 'content-length: 5', 'connection: close'], '{}   '))).toMatch(/^HTTP\/1\.1 400 [^]*"prompt: expected/);
    expect(await raw(listener.url, request('POST /v1/completions HTTP/1.1', ['transfer-encoding: chunked'], 'zz\r\n'))).toMatch(/^HTTP\/1\.1 4/);
    const { listener: hasty } = await fakeServer({}, { requestTimeoutMs: 300 });
    expect(await raw(hasty.url, 'POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{')).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n[^]*"request_timeout"/);
    expect((await post(listener.url)).status).toBe(200);
  });

  it('answers a body that is too large without reading all of it', async () => {
    const { listener } = await fakeServer({ maxBodyBytes: 1000 });
    const text = await raw(listener.url, request('POST /v1/completions HTTP/1.1', ['content-type: application/json', 'content-length: 1000000000', 'connection: close'], 'x'.repeat(5000)));
    expect(text).toMatch(/^HTTP\/1\.1 413 [^]*"body_too_large"/);
  });

  it('answers a thousand connections at once, each with its own answer', { timeout: 60_000 }, async () => {
    const { listener, service } = await fakeServer();
    const release = service.hold();
    const sockets = await Promise.all(Array.from({ length: 1000 }, () => dial(listener.url)));
    const answers = sockets.map(async (socket, i) => {
      const chunks: Buffer[] = [];
      socket.on('data', (chunk) => chunks.push(chunk));
      const body = JSON.stringify({ prompt: [i, i + 1], echo: true, logprobs: 0, max_tokens: 0, return_tokens_as_token_ids: true });
      socket.write(request('POST /v1/completions HTTP/1.1', ['content-type: application/json', `content-length: ${body.length}`, 'connection: close'], body));
      await once(socket, 'close', { signal: AbortSignal.timeout(30_000) });
      return Buffer.concat(chunks).toString();
    });
    await until(() => service.requests.length === 1000, 'a thousand requests were accepted');
    expect(listener.underWay).toBe(1000);
    release();
    (await Promise.all(answers)).forEach((answer, i) => {
      expect(answer.slice(0, 12)).toBe('HTTP/1.1 200');
      expect(answer).toContain(`"tokens":["token_id:${i}","token_id:${i + 1}"]`);
    });
    await listener.idle();
    expect(listener.underWay).toBe(0);
  });
});

describe('a server on its way down', () => {
  it('answers what it has accepted, refuses what comes, and closes', async () => {
    const { app, listener, service } = await fakeServer();
    const release = service.hold();
    const accepted = Promise.all([post(listener.url), post(listener.url)]);
    await until(() => service.requests.length === 2, 'two requests were accepted');
    const closed = drainAndClose({ app, listener, service, deadlineMs: 10_000 });
    const late = await post(listener.url);
    expect([late.status, late.headers.get('retry-after')]).toEqual([503, '5']);
    expect((await fetch(`${listener.url}/ready`)).status).toBe(503);
    release();
    expect((await accepted).map(({ status }) => status)).toEqual([200, 200]);
    expect(await closed).toEqual({ unanswered: 0 });
    await expect(post(listener.url)).rejects.toThrow('fetch failed');
  });

  it('does not wait longer than its deadline', async () => {
    const { app, listener, service } = await fakeServer();
    service.hold();
    const accepted = post(listener.url).then(() => 'answered', () => 'cut');
    await until(() => service.requests.length === 1, 'a request was accepted');
    expect(await drainAndClose({ app, listener, service, deadlineMs: 50 })).toEqual({ unanswered: 1 });
    expect(await accepted).toBe('cut');
  });

  it('does not wait for connections that have nothing to ask', async () => {
    const { app, listener, service } = await fakeServer();
    const idle = await dial(listener.url);
    const half = await dial(listener.url);
    half.write('POST /v1/comp');
    expect(await drainAndClose({ app, listener, service, deadlineMs: 10_000 })).toEqual({ unanswered: 0 });
    for (const socket of [idle, half]) socket.destroy();
  });
});
