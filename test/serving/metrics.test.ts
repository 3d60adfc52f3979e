import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { prefillFlops } from '../../src/model/flops.ts';
import { createMetrics, type Metrics } from '../../src/serving/metrics.ts';
import { after, asking, config, start, watch } from './service-fixture.ts';

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

/** Sample (with its labels) -> value, and metric -> type, of Prometheus' text format. */
async function scrape(metrics: Metrics): Promise<{ samples: Record<string, number>; types: Record<string, string> }> {
  const lines = (await metrics.text()).split('\n').filter((line) => line !== '');
  const typed = lines.flatMap((line) => [...line.matchAll(/^# TYPE (\S+) (\S+)$/g)].map(([, name, type]) => [name, type]));
  const samples = lines.filter((line) => !line.startsWith('#')).map((line) => {
    const [, name, value] = /^([a-z_]+(?:\{[^}]*\})?) (\S+)$/.exec(line) ?? [];
    if (name === undefined) throw new Error(`not a sample: ${line}`);
    return [name, Number(value)];
  });
  return { samples: Object.fromEntries(samples), types: Object.fromEntries(typed) };
}

const flopsOfOne = prefillFlops(config, { newTokens: 3, candidates: 2 }, { lastLayerShortcut: true });

describe('metrics', () => {
  it('count what happened to requests', async () => {
    const { pool, service } = start({ starting: [0], refused: ([first]) => first === 9 }, { maxWaiting: 4 });
    const metrics = createMetrics(service);
    const leaves = new AbortController();
    for (const request of [asking(1), asking(2), asking(9), asking(3, { signal: leaves.signal }), asking(4)]) watch(service.submit(request));
    await after(1);
    expect((await scrape(metrics)).samples).toMatchObject({ asyncep_waiting_requests: 4, asyncep_running_requests: 0, 'asyncep_engine_ready{engine="0"}': 0 });
    leaves.abort();
    pool.back(0);
    await after(2);
    expect((await scrape(metrics)).samples).toMatchObject({ asyncep_waiting_requests: 0, asyncep_running_requests: 3, 'asyncep_engine_ready{engine="0"}': 1 });
    await after(50);
    expect((await scrape(metrics)).samples).toMatchObject({
      asyncep_accepted_requests_total: 4,
      'asyncep_requests_total{outcome="answered"}': 2, 'asyncep_requests_total{outcome="failed"}': 1,
      'asyncep_requests_total{outcome="rejected"}': 1, 'asyncep_requests_total{outcome="cancelled"}': 1,
      asyncep_running_requests: 0, asyncep_retries_total: 0,
    });
  });

  it('sum passes, tokens, FLOPs, bytes and time of each engine', async () => {
    const { service } = start({ engines: 2, info: { peakFlopsPerSecond: flopsOfOne * 400 } }, { batchTokens: 3, threshold: 2 * flopsOfOne, maxWaitMs: 0 });
    const metrics = createMetrics(service);
    for (let i = 0; i < 3; i++) watch(service.submit(asking(i)));
    await after(100);
    const { samples } = await scrape(metrics);
    expect(samples).toMatchObject({
      asyncep_saturation_threshold_flops: 2 * flopsOfOne,
      'asyncep_passes_total{engine="0"}': 2, 'asyncep_passes_total{engine="1"}': 1,
      'asyncep_passes_below_threshold_total{engine="0"}': 2,
      'asyncep_prompt_tokens_total{engine="0"}': 6, 'asyncep_cached_tokens_total{engine="0"}': 0,
      'asyncep_flops_total{engine="0"}': 2 * flopsOfOne,
      'asyncep_gather_bytes_total{engine="0"}': 8192, 'asyncep_gather_bytes_total{engine="1"}': 4096,
      'asyncep_exposed_seconds_total{engine="0"}': 0.001,
    });
    // One prompt in 10 ms is a quarter of the peak.
    expect(samples['asyncep_busy_seconds_total{engine="0"}']).toBeCloseTo(0.02, 6);
    expect(samples['asyncep_engine_mfu_ratio{engine="0"}']).toBeCloseTo(0.25, 3);
    expect(samples).toMatchObject({ 'asyncep_pass_fill_ratio_bucket{le="0.25"}': 0, 'asyncep_pass_fill_ratio_bucket{le="0.5"}': 3, asyncep_pass_fill_ratio_sum: 1.5, asyncep_pass_fill_ratio_count: 3 });
  });

  it('have the distribution of latencies, in seconds', async () => {
    const { service } = start({ serviceMs: () => 80 });
    const metrics = createMetrics(service);
    watch(service.submit(asking(1)));
    await after(50);
    watch(service.submit(asking(2)));
    await after(200);
    const { samples } = await scrape(metrics);
    for (const [name, seconds] of [['queue', 0.03], ['compute', 0.16], ['duration', 0.19]] as const) expect(samples[`asyncep_request_${name}_seconds_sum`]).toBeCloseTo(seconds, 3);
    expect(samples).toMatchObject({
      'asyncep_request_queue_seconds_bucket{le="0.001"}': 1, 'asyncep_request_queue_seconds_bucket{le="0.05"}': 2,
      'asyncep_request_compute_seconds_bucket{le="0.05"}': 0, 'asyncep_request_compute_seconds_bucket{le="0.1"}': 2,
      'asyncep_request_duration_seconds_bucket{le="0.1"}': 1, 'asyncep_request_duration_seconds_bucket{le="0.25"}': 2,
    });
  });

  it('count retries and restarts, and never twice, however often they are read', async () => {
    const { pool, service } = start();
    const metrics = createMetrics(service);
    watch(service.submit(asking(1)));
    await after(5);
    pool.lose(0, { backAfterMs: 10 });
    await after(50);
    await scrape(metrics);
    expect((await scrape(metrics)).samples).toMatchObject({
      asyncep_retries_total: 1, 'asyncep_engine_restarts_total{engine="0"}': 1, 'asyncep_requests_total{outcome="answered"}': 1, 'asyncep_passes_total{engine="0"}': 1,
    });
  });

  it('are named after Prometheus\' practice: prefix, base unit, and _total for what is counted and nothing else', async () => {
    const { service } = start();
    const { types } = await scrape(createMetrics(service));
    const names = Object.keys(types);
    expect(names.length).toBe(22);
    expect(names.filter((name) => !/^asyncep_[a-z_]+$/.test(name) || /_(ms|kb|mb|percent)(_|$)/.test(name))).toEqual([]);
    expect(names.filter((name) => (types[name] === 'counter') !== name.endsWith('_total'))).toEqual([]);
  });

  it('say how the process itself does, where asked: memory, files, the event loop', async () => {
    const { service } = start();
    const text = await createMetrics(service, true).text();
    const value = (name: string): number => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
    expect(value('process_resident_memory_bytes')).toBeGreaterThan(1e6);
    for (const name of ['process_cpu_seconds_total', 'process_open_fds', 'nodejs_eventloop_lag_p99_seconds', 'nodejs_heap_size_used_bytes']) expect([name, Number.isFinite(value(name))]).toEqual([name, true]);
    expect(await createMetrics(service).text()).not.toContain('nodejs_');
  });
});
