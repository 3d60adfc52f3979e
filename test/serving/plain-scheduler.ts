import type { EngineLoad, Routable, ScheduledBatch, Scheduler, SchedulerOptions } from '../../src/serving/scheduling.ts';

const DEPTH = 2;

/** The simplest scheduler that keeps the contract: first come, first served; the free engine with the fewest batches. Without prefixes. */
export class PlainScheduler<R extends Routable> implements Scheduler<R> {
  queue: R[] = [];
  rounds = 0;
  readonly finishedWith: ({ readonly materialised: Float64Array; readonly evicted: Float64Array } | undefined)[] = [];
  readonly open: boolean[];
  readonly #underWay: number[];

  constructor(readonly options: SchedulerOptions) {
    this.open = Array.from({ length: options.engines }, () => true);
    this.#underWay = this.open.map(() => 0);
  }

  get waiting(): number {
    return this.queue.length;
  }

  add(request: R): void {
    this.queue.push(request);
  }

  putBack(requests: readonly R[]): void {
    this.queue.unshift(...requests);
  }

  withdraw(id: number): boolean {
    const before = this.queue.length;
    this.queue = this.queue.filter((request) => request.id !== id);
    return this.queue.length < before;
  }

  round(nowMs: number, drain = false): ScheduledBatch<R>[] {
    this.rounds++;
    const batches: ScheduledBatch<R>[] = [];
    for (let engine = this.#free(); engine !== null && this.queue.length > 0; engine = this.#free()) {
      const requests = this.#first();
      const flops = sum(requests, (request) => request.flops(0));
      const saturated = flops >= this.options.threshold;
      if (!saturated && !drain && nowMs < this.#leaveMs()) break;
      this.queue.splice(0, requests.length);
      this.#underWay[engine]!++;
      batches.push({ engine, requests, flops, tokens: sum(requests, ({ tokens }) => tokens), lastFlops: 0, saturated });
    }
    return batches;
  }

  nextLeaveMs(): number {
    return this.#free() === null ? Infinity : this.#leaveMs();
  }

  finished(batch: ScheduledBatch<R>, events?: { readonly materialised: Float64Array; readonly evicted: Float64Array }): void {
    this.#underWay[batch.engine]!--;
    this.finishedWith.push(events);
  }

  lost(engine: number): void {
    if (!this.open[engine]) throw new Error(`engine ${engine} was lost twice`);
    this.open[engine] = false;
  }

  ready(engine: number): void {
    if (this.open[engine]) throw new Error(`engine ${engine} was ready twice`);
    this.open[engine] = true;
  }

  load(engine: number): EngineLoad {
    return { filling: 0, fillingRequests: 0, underWay: this.#underWay[engine]!, committedBlocks: 0, pendingBlocks: 0 };
  }

  #free(): number | null {
    const free = this.open.map((_, engine) => engine).filter((engine) => this.open[engine] && this.#underWay[engine]! < DEPTH);
    return free.sort((a, b) => this.#underWay[a]! - this.#underWay[b]! || a - b)[0] ?? null;
  }

  /** From the head of the queue, as many as fit. */
  #first(): R[] {
    let tokens = 0;
    const end = this.queue.findIndex((request, i) => (tokens += request.tokens) > this.options.batchTokens && i > 0);
    return this.queue.slice(0, end < 0 ? this.queue.length : end);
  }

  #leaveMs(): number {
    return (this.queue[0]?.arrivedMs ?? Infinity) + this.options.maxWaitMs;
  }
}

const sum = <T>(list: readonly T[], of: (item: T) => number): number => list.reduce((total, item) => total + of(item), 0);
