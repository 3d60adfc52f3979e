/** What is noted of a server while it is soaked, and the trouble that its ranks are given. */
import { setTimeout as sleep } from 'node:timers/promises';
import { hashWords } from '../../src/sim/random.ts';
import type { ServedProcess } from './served-process.ts';

export interface Sample {
  /** Since the load began. */
  readonly seconds: number;
  readonly rssMib: number;
  /** Open files, sockets among them. */
  readonly files: number;
  /** After a collection, see {@link ServedProcess.liveHeapMib}. */
  readonly heapMib: number;
  /** What keeps the event loop going: sockets, timers and so on. */
  readonly resources: number;
  /** 99th percentile of the delay of the event loop since the sample before. */
  readonly lagMs: number;
  readonly ready: number;
  readonly accepted: number;
  readonly restarts: number;
}

/** Values of Prometheus' text format; of a metric with labels, the sum. */
export async function scrape(url: string): Promise<(name: string, labels?: string) => number> {
  const text = await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(30_000) })).text();
  const samples = [...text.matchAll(/^([a-z0-9_]+)(\{[^}]*\})? (\S+)$/gm)];
  return (name, labels) => samples.filter(([, is, having = '']) => is === name && (labels === undefined || having.includes(labels))).reduce((sum, [, , , value]) => sum + Number(value), 0);
}

export async function sample(server: ServedProcess, url: string, seconds: number): Promise<Sample> {
  const value = await scrape(url);
  const heapMib = await server.liveHeapMib();
  const { rssMib, files } = server.usage();
  server.ranks();
  return {
    seconds, rssMib, files, heapMib, resources: value('nodejs_active_resources_total'),
    lagMs: value('nodejs_eventloop_lag_p99_seconds') * 1000, ready: value('asyncep_engine_ready'), accepted: value('asyncep_accepted_requests_total'), restarts: value('asyncep_engine_restarts_total'),
  };
}

/** A rank that was killed or stopped. */
export interface Blow {
  readonly seconds: number;
  readonly signal: 'SIGKILL' | 'SIGSTOP';
  readonly pid: number;
}

const PAUSE_SECONDS = [20, 40] as const;

/** Every 20 to 40 seconds a rank is killed, or stopped so that it says nothing any more. @param over ends it */
export async function strike(server: ServedProcess, seed: number, startMs: number, over: AbortSignal): Promise<Blow[]> {
  const blows: Blow[] = [];
  const random = (): number => hashWords(seed, 1e6 + drawn++) / 2 ** 32;
  let drawn = 0;
  for (;;) {
    const pauseMs = 1000 * (PAUSE_SECONDS[0] + random() * (PAUSE_SECONDS[1] - PAUSE_SECONDS[0]));
    if (await sleep(pauseMs, 'on', { signal: over }).catch(() => 'over') === 'over') return blows;
    const ranks = server.ranks();
    const pid = ranks[Math.floor(random() * ranks.length)];
    if (pid === undefined) continue;
    const signal = random() < 0.5 ? 'SIGKILL' : 'SIGSTOP';
    process.kill(pid, signal);
    blows.push({ seconds: (performance.now() - startMs) / 1000, signal, pid });
  }
}

/** Change in a minute of the line with the least squares, and the standard error of it. */
export function slopePerMinute(samples: readonly Sample[], of: (sample: Sample) => number): { slope: number; error: number } {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const minutes = samples.map(({ seconds }) => seconds / 60);
  const values = samples.map(of);
  const [x, y] = [mean(minutes), mean(values)];
  const spread = mean(minutes.map((minute) => (minute - x) ** 2));
  const slope = mean(minutes.map((minute, i) => (minute - x) * (values[i]! - y))) / spread;
  const residual = mean(minutes.map((minute, i) => (values[i]! - y - slope * (minute - x)) ** 2));
  return { slope, error: Math.sqrt(residual / spread / Math.max(1, samples.length - 2)) };
}
