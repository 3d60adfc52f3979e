/**
 * The service in numbers for Prometheus. Counters and gauges are what {@link Service.snapshot} says when they are asked for, so that both tell the same;
 * distributions are observed as things happen.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { EngineSnapshot, Service, ServiceCounts, ServiceSnapshot } from './service.ts';

export interface Metrics {
  /** All metrics in Prometheus' text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

type Type = 'counter' | 'gauge';
/** Name, type, help, value. */
type EngineMetric = readonly [string, Type, string, (engine: EngineSnapshot) => number];
type ServiceMetric = readonly [string, Type, string, (service: ServiceSnapshot) => number];

const SECONDS = 1e-3;
const LATENCY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];
const FILL_BUCKETS = [0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2, 4, 8];

const OUTCOMES = ['answered', 'failed', 'rejected', 'cancelled'] as const satisfies readonly (keyof ServiceCounts)[];

const OF_SERVICE: readonly ServiceMetric[] = [
  ['asyncep_waiting_requests', 'gauge', 'Accepted requests that are in no pass', ({ waiting }) => waiting],
  ['asyncep_running_requests', 'gauge', 'Requests in passes under way', ({ underWay }) => underWay],
  ['asyncep_saturation_threshold_flops', 'gauge', 'T: FLOPs of a batch whose compute hides the gathers of its layers', ({ saturation }) => saturation.threshold],
  ['asyncep_accepted_requests_total', 'counter', 'Requests that were taken', ({ counts }) => counts.accepted],
  ['asyncep_retries_total', 'counter', 'Runs of a request beyond its first, because its engine was lost', ({ counts }) => counts.retried],
];

const OF_ENGINE: readonly EngineMetric[] = [
  ['asyncep_engine_ready', 'gauge', '1 when the engine takes work', ({ info }) => (info.state === 'ready' ? 1 : 0)],
  ['asyncep_engine_load_flops', 'gauge', 'FLOPs of the batch that is being filled', ({ load }) => load.filling],
  ['asyncep_engine_mfu_ratio', 'gauge', 'True FLOPs over busy time over the peak rate, since the start', mfu],
  ['asyncep_engine_restarts_total', 'counter', 'Times the engine was started again', ({ info }) => info.restarts],
  ['asyncep_passes_total', 'counter', 'Passes that were answered', ({ passes }) => passes],
  ['asyncep_passes_below_threshold_total', 'counter', 'Passes with fewer FLOPs than T', ({ belowThreshold }) => belowThreshold],
  ['asyncep_prompt_tokens_total', 'counter', 'Tokens of prompts that were answered, cached ones among them', ({ promptTokens }) => promptTokens],
  ['asyncep_cached_tokens_total', 'counter', 'Tokens of prompts that were not computed, because their keys and values were there', ({ cachedTokens }) => cachedTokens],
  ['asyncep_flops_total', 'counter', 'True FLOPs of passes', ({ flops }) => flops],
  ['asyncep_busy_seconds_total', 'counter', 'Time with a pass under way', ({ busyMs }) => busyMs * SECONDS],
  ['asyncep_exposed_seconds_total', 'counter', 'Transfer time that compute did not hide', ({ exposedMs }) => exposedMs * SECONDS],
];

function mfu({ flops, busyMs, info }: EngineSnapshot): number {
  return busyMs === 0 || info.peakFlopsPerSecond === 0 ? 0 : flops / (busyMs * SECONDS) / info.peakFlopsPerSecond;
}

/**
 * Counts from now on: to be made with the service.
 * @param aboutProcess memory, files, CPU time and the event loop's delay of this process, too, under the names that Prometheus' clients give them
 */
export function createMetrics(service: Pick<Service, 'snapshot' | 'observe'>, aboutProcess = false): Metrics {
  const registers = [new Registry()] as const;
  if (aboutProcess) collectDefaultMetrics({ register: registers[0] });
  const labelled = (name: string, help: string, type: Type, labelNames: readonly string[]): Mirror => mirror(new (type === 'counter' ? Counter : Gauge)({ name, help, labelNames, registers: [...registers] }));
  const outcomes = labelled('asyncep_requests_total', 'Requests that came to an end, by how', 'counter', ['outcome']);
  const ofService = OF_SERVICE.map(([name, type, help, value]) => ({ metric: labelled(name, help, type, []), value }));
  const ofEngine = OF_ENGINE.map(([name, type, help, value]) => ({ metric: labelled(name, help, type, ['engine']), value }));
  observe(service, registers[0]);
  return {
    contentType: registers[0].contentType,
    text: () => {
      const snapshot = service.snapshot();
      outcomes(OUTCOMES.map((outcome) => [{ outcome }, snapshot.counts[outcome]]));
      for (const { metric, value } of ofService) metric([[{}, value(snapshot)]]);
      for (const { metric, value } of ofEngine) metric(snapshot.engines.map((engine) => [{ engine: engine.info.engine }, value(engine)]));
      return registers[0].metrics();
    },
  };
}

/** Makes a metric say what is counted elsewhere. */
type Mirror = (values: readonly (readonly [labels: Readonly<Record<string, string | number>>, value: number])[]) => void;

const mirror = (metric: Counter | Gauge): Mirror => (values) => {
  metric.reset();
  for (const [labels, value] of values) metric.inc(labels, value);
};

function observe(service: Pick<Service, 'observe' | 'snapshot'>, registry: Registry): void {
  const registers = [registry];
  const latency = (name: string, help: string): Histogram => new Histogram({ name, help, buckets: LATENCY_BUCKETS, registers });
  const queued = latency('asyncep_request_queue_seconds', 'From acceptance to the start of the pass');
  const compute = latency('asyncep_request_compute_seconds', 'From the start of the pass to the answer');
  const total = latency('asyncep_request_duration_seconds', 'From acceptance to the answer');
  const fill = new Histogram({ name: 'asyncep_pass_fill_ratio', help: 'True FLOPs of a pass over T', buckets: FILL_BUCKETS, registers });
  const gathered = new Counter({ name: 'asyncep_gather_bytes_total', help: 'Bytes that came from other ranks', labelNames: ['engine'], registers });
  for (const { info } of service.snapshot().engines) gathered.inc({ engine: info.engine }, 0);
  service.observe({
    answered(_, { queuedMs, computeMs }) {
      queued.observe(queuedMs * SECONDS);
      compute.observe(computeMs * SECONDS);
      total.observe((queuedMs + computeMs) * SECONDS);
    },
    pass({ engine, fill: ratio, stats }) {
      fill.observe(ratio);
      gathered.inc({ engine }, stats.receivedBytes);
    },
  });
}
