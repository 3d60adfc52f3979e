/** From the service's snapshot to what `/status` tells. Pure. */
import { type Interval, lengthUs, union } from '../../trace/intervals.ts';
import type { ServedModel } from '../operations/operation.ts';
import type { EngineSnapshot, ServedPass, ServiceSnapshot } from '../service.ts';
import type { RecentFigures } from './recent.ts';
import type { Status } from './schema.ts';

const quotient = (above: number, below: number): number | null => (below > 0 ? above / below : null);

/** FLOPs / (time x peak). */
const mfuOf = (flops: number, ms: number, peakFlopsPerSecond: number): number | null => quotient(flops, ms / 1000 * peakFlopsPerSecond);

function engineStatus({ info, load, ...sums }: EngineSnapshot): Status['engines'][number] {
  const { engine, adapter, software, pid, state, restarts, cacheBlocks, peakFlopsPerSecond } = info;
  return {
    engine, adapter, software, pid, state, restarts, cache_blocks: cacheBlocks,
    load: {
      filling_flops: load.filling, filling_requests: load.fillingRequests, under_way: load.underWay,
      committed_blocks: load.committedBlocks, pending_blocks: load.pendingBlocks,
    },
    passes: sums.passes, below_threshold: sums.belowThreshold, prompt_tokens: sums.promptTokens, cached_tokens: sums.cachedTokens,
    busy_ms: sums.busyMs, exposed_ms: sums.exposedMs, mfu: mfuOf(sums.flops, sums.busyMs, peakFlopsPerSecond),
  };
}

const passStatus = ({ engine, requests, promptTokens, cachedTokens, stats, fill, endedMs }: ServedPass): Status['passes'][number] => ({
  engine, requests, prompt_tokens: promptTokens, cached_tokens: cachedTokens, flops: stats.flops, fill, wall_ms: stats.wallMs, exposed_ms: stats.exposedMs, ended_ms: endedMs,
});

/** Milliseconds in which an engine had one of its passes or more: two may be under way at a time. */
function busyMs(passes: readonly ServedPass[]): number {
  return lengthUs(union(passes.map(({ stats: { startEpochMs, wallMs } }): Interval => [startEpochMs * 1000, (startEpochMs + wallMs) * 1000]))) / 1000;
}

/** Fill, exposed time and MFU of the last passes. */
function passFigures(passes: readonly ServedPass[], engines: readonly EngineSnapshot[]): Pick<Status['recent'], 'fill' | 'exposed' | 'mfu'> {
  const sum = (of: (pass: ServedPass) => number): number => passes.reduce((total, pass) => total + of(pass), 0);
  const busy = engines.map(({ info }, engine) => ({ ms: busyMs(passes.filter((pass) => pass.engine === engine)), peak: info.peakFlopsPerSecond }));
  return {
    fill: quotient(sum(({ fill }) => fill), passes.length),
    exposed: quotient(sum(({ stats }) => stats.exposedMs), busy.reduce((total, { ms }) => total + ms, 0)),
    mfu: quotient(sum(({ stats }) => stats.flops), busy.reduce((total, { ms, peak }) => total + ms / 1000 * peak, 0)),
  };
}

function stateOf({ draining, engines }: ServiceSnapshot): Status['state'] {
  if (draining) return 'draining';
  return engines.every(({ info }) => info.state === 'ready') ? 'ready' : 'degraded';
}

/**
 * @param nowMs epoch milliseconds
 * @param timelineVersion number that changes with the trace
 */
export function statusOf(snapshot: ServiceSnapshot, { id, config, maxPromptTokens }: ServedModel, recent: RecentFigures, { nowMs, timelineVersion }: { nowMs: number; timelineVersion: number }): Status {
  const { startedMs, scheduler, saturation, waiting, underWay, counts, engines, passes } = snapshot;
  const { accepted, answered, failed, rejected, cancelled, retried } = counts;
  return {
    model: {
      id, layers: config.numHiddenLayers, moe_layers: config.layerIsMoe.filter(Boolean).length, experts: config.numExperts,
      experts_per_token: config.numExpertsPerTok, max_prompt_tokens: maxPromptTokens,
    },
    now_ms: nowMs, started_ms: startedMs, state: stateOf(snapshot), scheduler,
    saturation: { threshold_flops: saturation.threshold, arithmetic: saturation.arithmetic },
    queue: { waiting, under_way: underWay },
    counts: { accepted, answered, failed, rejected, cancelled, retried },
    recent: {
      seconds: recent.seconds, requests_per_second: recent.requestsPerSecond, tokens_per_second: recent.tokensPerSecond, hit_rate: recent.hitRate,
      latency_ms: recent.latencyMs, queued_ms: recent.queuedMs, compute_ms: recent.computeMs, ...passFigures(passes, engines),
    },
    engines: engines.map(engineStatus),
    passes: passes.map(passStatus),
    timeline_version: timelineVersion,
  };
}
