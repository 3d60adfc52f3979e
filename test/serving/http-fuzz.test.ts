import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { ServingAnswer, ServingRequest } from '../../src/serving/requests.ts';
import { EXAMPLES } from './http-examples.ts';
import { fakeApp, fakeServer } from './http-fakes.ts';
import { malformedRequests, nearlyHttp, wrongAnswer } from './malformed-requests.ts';
import { fakeService } from './operations-fakes.ts';

const REQUESTS = 10_000;

/** Of the right shape, in no time. */
function flatAnswer({ candidates, scored = 0, top = 0 }: ServingRequest): ServingAnswer {
  const scores = { top, normalizers: new Float32Array(scored), nextLogits: new Float32Array(scored), topTokens: new Uint32Array(scored * top).map((_, i) => i % Math.max(1, top)), topLogits: new Float32Array(scored * top) };
  return { logits: new Float32Array(candidates.length), scores: scored > 0 ? scores : null, cachedTokens: 0, engine: 0, queuedMs: 0, computeMs: 0 };
}
const flatService = (): ReturnType<typeof fakeService> => ({ ...fakeService(), submit: (request) => Promise.resolve(flatAnswer(request)) });

describe('10,000 malformed requests', () => {
  it('get no 5xx, an error in the one shape, and leave the server well', { timeout: 180_000 }, async () => {
    const { app } = await fakeApp({ service: flatService(), maxBodyBytes: 1 << 16 });
    const { paths } = (await app.inject('/openapi.json')).json();
    const draw = malformedRequests(paths);
    const seen = new Map<number, number>();
    for (let n = 0; n < REQUESTS; n++) {
      const request = draw();
      const { statusCode, body, headers } = await app.inject(request);
      seen.set(statusCode, (seen.get(statusCode) ?? 0) + 1);
      const wrong = wrongAnswer(request, statusCode, String(headers['content-type']), body);
      if (wrong !== null) throw new Error(`${wrong}: ${JSON.stringify(request).slice(0, 500)}`);
    }
    // All kinds of answers were drawn, so the draw is no formality.
    for (const status of [200, 400, 404, 405, 413, 415]) expect([status, seen.get(status) ?? 0]).toEqual([status, expect.toSatisfy((count: number) => count >= 20)]);
    for (const { path, body } of EXAMPLES) expect((await app.inject({ method: 'POST', url: path, headers: { 'content-type': 'application/json' }, payload: JSON.stringify(body) })).statusCode).toBe(200);
  });

  it('may as well be bytes on a connection', { timeout: 60_000 }, async () => {
    const { listener } = await fakeServer({ service: flatService(), maxBodyBytes: 1 << 14 }, { requestTimeoutMs: 1000 });
    const { hostname, port } = new URL(listener.url);
    const statuses = await Promise.all(Array.from({ length: 400 }, async () => {
      const socket = connect(Number(port), hostname);
      socket.on('error', () => {});
      const chunks: Buffer[] = [];
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.end(nearlyHttp());
      await once(socket, 'close', { signal: AbortSignal.timeout(20_000) });
      return Buffer.concat(chunks).toString().slice(9, 12);
    }));
    expect(statuses.filter((status) => status.startsWith('5'))).toEqual([]);
    expect(statuses.filter((status) => status === '200').length).toBeGreaterThan(20);
    expect(statuses.filter((status) => status === '400').length).toBeGreaterThan(20);
    expect((await fetch(`${listener.url}/health`)).status).toBe(200);
  });
});
