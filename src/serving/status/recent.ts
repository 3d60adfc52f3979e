/** What was answered in the last minute: rates and latencies. Pure; the clock is the caller's. */
import type { ServingAnswer, ServingRequest } from '../requests.ts';
import type { ServiceObserver } from '../service.ts';

/** Milliseconds, or null when there is nothing to tell. */
export type Percentiles = { readonly p50: number; readonly p95: number; readonly p99: number } | null;

export interface RecentFigures {
  readonly seconds: number;
  readonly requestsPerSecond: number;
  readonly tokensPerSecond: number;
  readonly hitRate: number | null;
  readonly latencyMs: Percentiles;
  readonly queuedMs: Percentiles;
  readonly computeMs: Percentiles;
}

const WINDOW_SECONDS = 60;
/** Latencies are of the newest answers of the window, at most so many. */
const MOST_LATENCIES = 4096;

interface Second {
  readonly second: number;
  requests: number;
  tokens: number;
  cachedTokens: number;
}

interface Latency {
  readonly atMs: number;
  readonly queuedMs: number;
  readonly computeMs: number;
}

/** Nearest rank: the smallest value that so large a share of all does not exceed. */
export function percentiles(values: readonly number[]): Percentiles {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

/** Listens to a service. */
export class RecentAnswers implements ServiceObserver {
  readonly #seconds: Second[] = [];
  readonly #latencies: Latency[] = [];
  /** Where the next latency goes. */
  #next = 0;
  readonly #startedMs: number;

  /** @param now milliseconds on a clock that never goes back */
  constructor(private readonly now: () => number) {
    this.#startedMs = now();
  }

  answered(request: ServingRequest, { cachedTokens, queuedMs, computeMs }: ServingAnswer): void {
    const atMs = this.now();
    const second = Math.floor(atMs / 1000);
    let last = this.#seconds.at(-1);
    if (last?.second !== second) {
      this.#seconds.push(last = { second, requests: 0, tokens: 0, cachedTokens: 0 });
      if (this.#seconds.length > WINDOW_SECONDS) this.#seconds.shift();
    }
    last.requests++;
    last.tokens += request.tokens.length;
    last.cachedTokens += cachedTokens;
    this.#latencies[this.#next++ % MOST_LATENCIES] = { atMs, queuedMs, computeMs };
  }

  figures(): RecentFigures {
    const nowMs = this.now();
    const seconds = Math.max(1, Math.min(WINDOW_SECONDS, (nowMs - this.#startedMs) / 1000));
    const inside = this.#seconds.filter(({ second }) => second > nowMs / 1000 - WINDOW_SECONDS);
    const sum = (key: 'requests' | 'tokens' | 'cachedTokens'): number => inside.reduce((total, one) => total + one[key], 0);
    const latencies = this.#latencies.filter(({ atMs }) => atMs > nowMs - WINDOW_SECONDS * 1000);
    return {
      seconds,
      requestsPerSecond: sum('requests') / seconds,
      tokensPerSecond: sum('tokens') / seconds,
      hitRate: sum('tokens') === 0 ? null : sum('cachedTokens') / sum('tokens'),
      latencyMs: percentiles(latencies.map(({ queuedMs, computeMs }) => queuedMs + computeMs)),
      queuedMs: percentiles(latencies.map(({ queuedMs }) => queuedMs)),
      computeMs: percentiles(latencies.map(({ computeMs }) => computeMs)),
    };
  }
}
