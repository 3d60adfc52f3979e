/** What a batch run has done, in numbers. */
import { type BatchAnswer, isFailure } from '../serving/batch/format.ts';
import type { ServingAnswer, ServingRequest } from '../serving/requests.ts';
import { formatCount, formatPercent } from './format.ts';

export class BatchTally {
  #startMs = performance.now();
  #now = { lines: 0, failed: 0, requests: 0, tokens: 0, cachedTokens: 0 };

  /** @param earlierLines answered by earlier runs, `earlierFailed` of them with a failure */
  constructor(readonly earlierLines = 0, readonly earlierFailed = 0) {}

  /** The time of tokens/s begins. */
  start(): void {
    this.#startMs = performance.now();
  }

  request(request: Pick<ServingRequest, 'tokens'>, { cachedTokens }: Pick<ServingAnswer, 'cachedTokens'>): void {
    this.#now.requests++;
    this.#now.tokens += request.tokens.length;
    this.#now.cachedTokens += cachedTokens;
  }

  line(answer: BatchAnswer): void {
    this.#now.lines++;
    if (isFailure(answer)) this.#now.failed++;
  }

  /** Of all runs. */
  get lines(): number {
    return this.earlierLines + this.#now.lines;
  }

  get failed(): number {
    return this.earlierFailed + this.#now.failed;
  }

  get tokensPerSecond(): number {
    return this.#now.tokens / Math.max((performance.now() - this.#startMs) / 1000, 1e-3);
  }

  /** A line to print at the end. */
  summary(): string {
    const { lines, failed, requests, tokens, cachedTokens } = this.#now;
    const seconds = (performance.now() - this.#startMs) / 1000;
    const earlier = this.earlierLines === 0 ? '' : `, ${formatCount(this.earlierLines)} lines answered before`;
    const cached = formatPercent(tokens === 0 ? 0 : cachedTokens / tokens);
    return `${formatCount(lines)} lines answered, ${formatCount(failed)} of them failed${earlier}; ` +
      `${formatCount(requests)} requests, ${formatCount(tokens)} tokens (${cached} cached) in ${seconds.toFixed(2)} s, ${formatCount(this.tokensPerSecond)} tokens/s`;
  }
}
