/** What a service remembers: counts since its start, sums of each engine, its last passes and their timeline. */
import type { PassStats } from '../cluster/messages.ts';
import type { TraceEvent } from '../trace/events.ts';
import type { EngineSnapshot, ServedPass, ServiceCounts, ServiceObserver } from './service.ts';

const LAST_PASSES = 64;
const LAST_EVENTS = 4000;

type EngineSums = { -readonly [Key in keyof Omit<EngineSnapshot, 'info' | 'load'>]: EngineSnapshot[Key] };

interface EngineHistory {
  readonly sums: EngineSums;
  /** Epoch milliseconds until which its passes are counted as busy. */
  busyUntilMs: number;
}

/** A pass for whoever reckons with throughput. */
interface Work {
  /** FLOPs of its requests when nothing is cached, so that what the cache saves counts as speed. */
  readonly allFlops: number;
  readonly busyMs: number;
}

/** Listens to the service as any other observer. */
export class History implements ServiceObserver {
  readonly counts: { -readonly [Key in keyof ServiceCounts]: number } = { accepted: 0, answered: 0, failed: 0, rejected: 0, cancelled: 0, retried: 0 };
  readonly #engines: EngineHistory[];
  readonly #passes: ServedPass[] = [];
  readonly #works: Work[] = [];
  readonly #trace: (readonly TraceEvent[])[] = [];
  #events = 0;

  /** @param threshold T in FLOPs */
  constructor(engines: number, private readonly threshold: number) {
    this.#engines = Array.from({ length: engines }, () => ({
      sums: { passes: 0, promptTokens: 0, cachedTokens: 0, flops: 0, busyMs: 0, exposedMs: 0, belowThreshold: 0 }, busyUntilMs: 0,
    }));
  }

  accepted(): void {
    this.counts.accepted++;
  }

  rejected(): void {
    this.counts.rejected++;
  }

  cancelled(): void {
    this.counts.cancelled++;
  }

  answered(): void {
    this.counts.answered++;
  }

  failed(): void {
    this.counts.failed++;
  }

  retried(requests: number): void {
    this.counts.retried += requests;
  }

  /** @param allFlops of its requests when nothing is cached */
  record(pass: ServedPass, allFlops: number): void {
    const { engine, promptTokens, cachedTokens, stats } = pass;
    const known = this.#engines[engine] as EngineHistory;
    const busyMs = newlyBusyMs(known, stats);
    const { sums } = known;
    sums.passes++;
    sums.promptTokens += promptTokens;
    sums.cachedTokens += cachedTokens;
    sums.flops += stats.flops;
    sums.busyMs += busyMs;
    sums.exposedMs += stats.exposedMs;
    if (stats.flops < this.threshold) sums.belowThreshold++;
    keep(this.#passes, pass);
    keep(this.#works, { allFlops, busyMs });
  }

  trace(events: readonly TraceEvent[]): void {
    this.#trace.push(events.slice(-LAST_EVENTS));
    this.#events += Math.min(events.length, LAST_EVENTS);
    while (this.#events > LAST_EVENTS) this.#events -= (this.#trace.shift() as readonly TraceEvent[]).length;
  }

  sums(engine: number): EngineSums {
    return { ...(this.#engines[engine] as EngineHistory).sums };
  }

  /** The last ones, the newest last. */
  get passes(): readonly ServedPass[] {
    return [...this.#passes];
  }

  get events(): readonly TraceEvent[] {
    return this.#trace.flat();
  }

  /** FLOP/s of a busy engine over the last passes, cached work included; null before the first one. */
  get engineFlopsPerSecond(): number | null {
    const flops = this.#works.reduce((sum, { allFlops }) => sum + allFlops, 0);
    const busyMs = this.#works.reduce((sum, { busyMs }) => sum + busyMs, 0);
    return busyMs > 0 && flops > 0 ? (flops / busyMs) * 1000 : null;
  }
}

/** Two passes may be under way on an engine: time is counted once. */
function newlyBusyMs(engine: EngineHistory, { startEpochMs, wallMs }: PassStats): number {
  const endMs = startEpochMs + wallMs;
  const busyMs = Math.max(0, endMs - Math.max(startEpochMs, engine.busyUntilMs));
  engine.busyUntilMs = Math.max(engine.busyUntilMs, endMs);
  return busyMs;
}

function keep<T>(last: T[], next: T): void {
  last.push(next);
  if (last.length > LAST_PASSES) last.shift();
}
