/** A service of known numbers behind the status page, on a port of its own. */
import type { FastifyInstance } from 'fastify';
import type { AddressInfo } from 'node:net';
import { createApp } from '../../../src/serving/http/app.ts';
import { registerStatusPage } from '../../../src/serving/http/status-page.ts';
import type { EngineInfo } from '../../../src/cluster/engine-pool.ts';
import type { PassStats } from '../../../src/cluster/messages.ts';
import type { ServedModel } from '../../../src/serving/operations/operation.ts';
import type { EngineSnapshot, ServedPass, Service, ServiceObserver, ServiceSnapshot } from '../../../src/serving/service.ts';
import type { Track, TraceEvent } from '../../../src/trace/events.ts';
import { smallConfig } from '../../sim/small-config.ts';

export const model = { id: 'tiny-moe', created: 1, config: smallConfig(), maxPromptTokens: 4096 } as unknown as ServedModel;

export const info = (engine: number, changes: Partial<EngineInfo> = {}): EngineInfo => ({
  engine, adapter: 'llvmpipe', software: true, pid: 4000 + engine, state: 'ready', restarts: 0, gatherMs: 5, measuredFlopsPerSecond: 5e9, peakFlopsPerSecond: 1e10,
  maxBatchBlocks: 512, cacheBlocks: 1024, memory: [], ...changes,
});

/** Two passes' worth: 100 of 400 tokens cached, 4 GFLOP in 800 ms of 10 GFLOP/s peak, 80 ms of them exposed. */
export const engine = (index: number, changes: Partial<EngineInfo> = {}, filling = 0): EngineSnapshot => ({
  info: info(index, changes), load: { filling, fillingRequests: filling === 0 ? 0 : 3, underWay: 1, committedBlocks: 12, pendingBlocks: 2 },
  passes: 2, promptTokens: 400, cachedTokens: 100, flops: 4e9, busyMs: 800, exposedMs: 80, belowThreshold: 1,
});

export const pass = (index: number, flops: number, endedMs: number): ServedPass => ({
  engine: index, requests: 4, promptTokens: 200, cachedTokens: 50, plannedFlops: flops, fill: flops / 2e9, endedMs,
  stats: { flops, startEpochMs: endedMs - 400, wallMs: 400, exposedMs: 40 } as unknown as PassStats,
});

export const event = (rank: number, track: Track, layer: number, fromMs: number, toMs: number): TraceEvent =>
  ({ name: `layer ${layer}`, rank, track, startUs: fromMs * 1000, durationUs: (toMs - fromMs) * 1000, args: { layer, pass: 1 } });

export const snapshot = (changes: Partial<ServiceSnapshot> = {}): ServiceSnapshot => ({
  startedMs: performance.timeOrigin + performance.now() - 3_723_000, scheduler: 'prefix',
  saturation: { gatherMs: 5, moeLayers: 4, flopsPerSecond: 1e10, rate: 'peak', gamma: 1, gatherFlops: 2e9, threshold: 2e9, arithmetic: 'T = 4 MoE layers x 50 ms x 10 GFLOP/s (peak) x 1 = 2 GFLOP' },
  draining: false, waiting: 7, underWay: 8, counts: { accepted: 120, answered: 100, failed: 2, rejected: 3, cancelled: 1, retried: 4 },
  engines: [engine(0, {}, 1e9), engine(1, { adapter: 'swiftshader' }, 2.5e9)],
  passes: [pass(0, 1e9, 1000), pass(1, 3e9, 2000)],
  // 10 ms; rank 0 is exposed from 3 to 5.
  trace: [event(0, 'compute', 0, 0, 3), event(0, 'compute', 1, 5, 9), event(0, 'receive', 1, 0, 5), event(0, 'wait', 1, 1, 5), event(1, 'compute', 0, 0, 10)],
  ...changes,
});

export interface FakeServer {
  readonly url: string;
  readonly app: FastifyInstance;
  /** What the service tells from now on. */
  set(next: ServiceSnapshot): void;
  /** How often the service was asked for its numbers. */
  readonly asked: number;
  /** Tells observers. */
  tell(use: (observer: ServiceObserver) => void): void;
  close(): Promise<void>;
}

/** @param port 0: any */
export async function serveStatus(first: ServiceSnapshot, { apiKey, port = 0, extend }: { apiKey?: string; port?: number; extend?: (app: FastifyInstance) => void } = {}): Promise<FakeServer> {
  let [current, asked] = [first, 0];
  const observers: ServiceObserver[] = [];
  const service: Service = {
    saturation: first.saturation, ready: true, submit: () => Promise.reject(new Error('is not asked')), snapshot() {
      asked++;
      return current;
    },
    observe: (observer) => void observers.push(observer), drain: async () => undefined, close: async () => undefined,
  };
  const app = await createApp({
    service, model, timeoutMs: 0, maxBodyBytes: 2 ** 20, metrics: { text: async () => '', contentType: 'text/plain' }, ...(apiKey !== undefined && { apiKey }),
    extend: (app) => {
      extend?.(app);
      registerStatusPage(app, service, model);
    },
  });
  await app.listen({ port, host: '127.0.0.1' });
  return {
    url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/`, app,
    get asked() { return asked; },
    set: (next) => { current = next; },
    tell: (use) => observers.forEach(use),
    close: () => app.close(),
  };
}
