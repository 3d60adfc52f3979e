/** The numbers of `/status`, without a browser. */
import { once } from 'node:events';
import { get } from 'node:http';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ServingAnswer, ServingRequest } from '../../../src/serving/requests.ts';
import type { TraceEvent } from '../../../src/trace/events.ts';
import { StatusFeed } from '../../../src/serving/status/feed.ts';
import { lastStretch } from '../../../src/serving/status/last-stretch.ts';
import { percentiles, RecentAnswers } from '../../../src/serving/status/recent.ts';
import { statusOf } from '../../../src/serving/status/report.ts';
import { type Status, statusSchema } from '../../../src/serving/status/schema.ts';
import { engine, event, type FakeServer, info, model, pass, serveStatus, snapshot } from './fakes.ts';

const request = (tokens: number): ServingRequest => ({ tokens: new Uint32Array(tokens), candidates: [] });
const answer = (queuedMs: number, computeMs: number, cachedTokens = 0): ServingAnswer => ({ logits: new Float32Array(), scores: null, cachedTokens, engine: 0, queuedMs, computeMs });

describe('recent answers', () => {
  it('are rates over the time since the start, then over the last minute', () => {
    let nowMs = 5_000;
    const recent = new RecentAnswers(() => nowMs);
    for (let i = 0; i < 20; i++) {
      nowMs += 500;
      recent.answered(request(30), answer(10, 30, 6));
    }
    expect(recent.figures()).toMatchObject({ seconds: 10, requestsPerSecond: 2, tokensPerSecond: 60, hitRate: 0.2, latencyMs: { p50: 40, p95: 40, p99: 40 }, queuedMs: { p50: 10 }, computeMs: { p50: 30 } });
    nowMs = 5_000 + 600_000;
    expect(recent.figures()).toEqual({ seconds: 60, requestsPerSecond: 0, tokensPerSecond: 0, hitRate: null, latencyMs: null, queuedMs: null, computeMs: null });
    recent.answered(request(120), answer(1, 2, 120));
    expect(recent.figures()).toMatchObject({ seconds: 60, requestsPerSecond: 1 / 60, tokensPerSecond: 2, hitRate: 1 });
  });

  it('have the percentiles of the nearest rank', () => {
    expect(percentiles([])).toBe(null);
    expect(percentiles([3])).toEqual({ p50: 3, p95: 3, p99: 3 });
    expect(percentiles(Array.from({ length: 200 }, (_, index) => 200 - index))).toEqual({ p50: 100, p95: 190, p99: 198 });
  });
});

describe('the last stretch of a timeline', () => {
  it('begins behind the last pause of all engines', () => {
    const before = [event(0, 'compute', 0, 0, 100), event(1, 'compute', 0, 50, 300)];
    const after = [event(1, 'wait', 1, 700, 900), event(0, 'compute', 1, 600, 650), event(0, 'compute', 2, 950, 960)];
    expect(lastStretch([...after, ...before])).toEqual(after);
    expect(lastStretch(before)).toEqual(before);
    expect(lastStretch([])).toEqual([]);
  });

  it('has six passes of the busiest rank, and what others did meanwhile', () => {
    const ofPass = (rank: number, pass: number, fromMs: number, toMs: number): TraceEvent => ({ ...event(rank, 'compute', 0, fromMs, toMs), args: { layer: 0, pass } });
    const busy = Array.from({ length: 20 }, (_, index) => [ofPass(0, index, index * 100, index * 100 + 50), ofPass(0, index, index * 100 + 50, index * 100 + 100)]).flat();
    const slow = [ofPass(1, 0, 0, 900), ofPass(1, 1, 900, 1450), ofPass(1, 2, 1450, 2000)];
    expect(lastStretch([...busy, ...slow])).toEqual([...busy.slice(-12), ...slow.slice(1)]); // from 1400 ms
  });
});

const recent = { seconds: 60, requestsPerSecond: 1, tokensPerSecond: 2, hitRate: null, latencyMs: null, queuedMs: null, computeMs: null };

describe('the status', () => {
  it('counts MFU by busy time and peak, and the last passes by theirs', () => {
    const status = statusOf(snapshot(), model, recent, { nowMs: 1, timelineVersion: 9 });
    expect(statusSchema.parse(status)).toEqual(status);
    expect(status.engines[0]).toMatchObject({ mfu: 4e9 / (0.8 * 1e10), load: { filling_flops: 1e9, filling_requests: 3, under_way: 1 } });
    // Two passes of 0.5 and 1.5 T, each 400 ms with 40 of them exposed.
    expect(status.recent).toMatchObject({ fill: 1, exposed: 0.1, mfu: (1e9 + 3e9) / (0.8 * 1e10) });
  });

  it('counts time once in which an engine had two passes under way', () => {
    // On engine 0 from 600 to 1200 ms, on engine 1 from 1600 to 2000 ms.
    const status = statusOf(snapshot({ passes: [pass(0, 1e9, 1000), pass(0, 1e9, 1200), pass(1, 3e9, 2000)] }), model, recent, { nowMs: 1, timelineVersion: 9 });
    expect(status.recent.mfu).toBeCloseTo(5e9 / (1 * 1e10), 12);
    expect(status.recent.exposed).toBeCloseTo(0.12, 12);
  });

  it.each([
    ['ready', snapshot()],
    ['degraded', snapshot({ engines: [engine(0), { ...engine(1), info: info(1, { state: 'starting' }) }] })],
    ['draining', snapshot({ draining: true })],
  ])('is %s', (state, given) => {
    expect(statusOf(given, model, recent, { nowMs: 1, timelineVersion: 0 }).state).toBe(state);
  });

  it('has dashes, not numbers, before the first pass', () => {
    const fresh = snapshot({ passes: [], trace: [], engines: [{ ...engine(0), passes: 0, busyMs: 0, flops: 0 }] });
    const status = statusOf(fresh, model, recent, { nowMs: 1, timelineVersion: 0 });
    expect([status.recent.fill, status.recent.exposed, status.recent.mfu, status.engines[0]?.mfu]).toEqual([null, null, null, null]);
  });
});

describe('the feed', () => {
  afterEach(() => vi.useRealTimers());
  const read = (stream: Readable): string[] => [...String(stream.read() ?? '').matchAll(/^event: (.*)\ndata: (.*)$/gm)].map(([, name, data]) => `${name} ${data}`);

  it('tells at once, every second, soon after a change, and the timeline only when there is a new one', async () => {
    vi.useFakeTimers();
    let [version, asked] = [1, 0];
    const feed = new StatusFeed({ status: () => ({ timeline_version: version, asked: ++asked }) as unknown as Status, timeline: () => ({ version }) });
    const stream = feed.watch();
    expect(read(stream)).toEqual(['status {"timeline_version":1,"asked":1}', 'timeline {"version":1}']);
    await vi.advanceTimersByTimeAsync(1000);
    expect(read(stream)).toEqual(['status {"timeline_version":1,"asked":2}']);
    version = 2;
    feed.changed();
    feed.changed();
    await vi.advanceTimersByTimeAsync(60);
    expect(read(stream)).toEqual(['status {"timeline_version":2,"asked":3}', 'timeline {"version":2}']);
    stream.destroy();
    await vi.advanceTimersByTimeAsync(5000);
    feed.changed();
    await vi.advanceTimersByTimeAsync(5000);
    expect(asked).toBe(3); // nobody watches
  });

  it('holds no states for one who does not read', async () => {
    vi.useFakeTimers();
    const feed = new StatusFeed({ status: () => ({ timeline_version: 1, filler: 'x'.repeat(100_000) }) as unknown as Status, timeline: () => ({}) });
    const stream = feed.watch();
    await vi.advanceTimersByTimeAsync(100_000);
    expect(stream.readableLength).toBeLessThan(300_000);
    feed.close();
  });
});

describe('the routes', () => {
  let server: FakeServer | undefined;
  afterEach(async () => {
    await server?.close();
    server = undefined;
  });

  it('tell JSON that is as described, and ask for the key for all but the page', async () => {
    server = await serveStatus(snapshot(), { apiKey: 'secret' });
    expect((await fetch(server.url)).headers.get('content-type')).toBe('text/html; charset=utf-8');
    for (const path of ['status', 'status/timeline', 'status/events']) expect((await fetch(server.url + path)).status).toBe(401);
    const response = await fetch(`${server.url}status`, { headers: { authorization: 'Bearer secret' } });
    const status = statusSchema.parse(await response.json());
    expect(status).toMatchObject({ model: { id: 'tiny-moe', layers: 4, experts: 8 }, queue: { waiting: 7, under_way: 8 }, counts: { answered: 100 } });
    const { paths } = await (await fetch(`${server.url}openapi.json`, { headers: { authorization: 'Bearer secret' } })).json() as { paths: Record<string, unknown> };
    expect(Object.keys(paths)).toEqual(expect.arrayContaining(['/status', '/status/timeline', '/status/events']));
  });

  it('count what is answered from their registration on', async () => {
    server = await serveStatus(snapshot());
    server.tell((observer) => observer.answered?.(request(100), answer(5, 15, 25)));
    const status = statusSchema.parse(await (await fetch(`${server.url}status`)).json());
    expect(status.recent).toMatchObject({ requests_per_second: 1, tokens_per_second: 100, hit_rate: 0.25, latency_ms: { p50: 20 } });
  });

  it('end the events when the server closes', async () => {
    server = await serveStatus(snapshot());
    const response = await fetch(`${server.url}status/events`);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const text = response.text();
    await server.close();
    expect(await text).toMatch(/^event: status\ndata: \{.*\}\n\nevent: timeline\ndata: /);
    server = undefined;
  });

  it('make no more states when the last watcher has left', async () => {
    server = await serveStatus(snapshot());
    const request = get(`${server.url}status/events`);
    const [response] = await once(request, 'response') as [Readable];
    response.on('error', () => undefined); // is cut off below
    await once(response, 'data');
    request.destroy();
    await vi.waitFor(async () => {
      const before = server?.asked;
      server?.tell((observer) => observer.engine?.(info(0)));
      await sleep(150);
      expect(server?.asked).toBe(before);
    }, { timeout: 10_000 });
  });
});
