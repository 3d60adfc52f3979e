/**
 * A workload through a scheduler onto simulated engines: a discrete-event simulation. What happens at one moment happens in this order: passes end, requests
 * arrive, the scheduler has a round, batches that leave begin. Nothing depends on the computer's clock.
 */
import type { ScheduledBatch, Scheduler } from '../../serving/scheduling.ts';
import { SimEngine, type EngineRates, type Pass } from './engine.ts';
import { EngineCache } from './engine-cache.ts';
import type { Prompt } from './prompts.ts';
import { SimRequest, type RequestFlops } from './request.ts';

export interface ReplayOptions {
  readonly prompts: readonly Prompt[];
  readonly scheduler: Scheduler<SimRequest>;
  readonly engines: number;
  /** Of each engine's prefix cache. */
  readonly cacheBlocks: number;
  readonly rates: EngineRates;
  readonly flops: RequestFlops;
  /** A clock in milliseconds, to time the scheduler with; it changes nothing in the run. */
  readonly clock?: () => number;
}

export interface Replay {
  /** In the order in which they began. */
  readonly passes: readonly Pass[];
  /** When each request was answered, by index of its prompt. */
  readonly answeredMs: Float64Array;
  readonly wallMs: number;
  /** Real milliseconds that each round (with the requests added before it) took the scheduler, and how many requests left with it. */
  readonly rounds: readonly { readonly tookMs: number; readonly requests: number }[];
}

class Run {
  readonly passes: Pass[] = [];
  readonly rounds: { tookMs: number; requests: number }[] = [];
  readonly answeredMs: Float64Array;
  readonly #engines: readonly SimEngine[];
  #arrived = 0;
  #answered = 0;
  #nowMs = 0;

  constructor(private readonly options: ReplayOptions) {
    const { engines, rates, cacheBlocks } = options;
    this.#engines = Array.from({ length: engines }, () => new SimEngine(rates, new EngineCache(cacheBlocks)));
    this.answeredMs = new Float64Array(options.prompts.length).fill(NaN);
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  get done(): boolean {
    return this.#answered === this.options.prompts.length && this.#engines.every(({ nextEndMs }) => nextEndMs === Infinity);
  }

  #finish(engine: SimEngine): void {
    const { batch, events } = engine.finish();
    for (const { id } of batch.requests) {
      if (!Number.isNaN(this.answeredMs[id])) throw new Error(`request ${id} was answered twice`);
      this.answeredMs[id] = this.#nowMs;
      this.#answered++;
    }
    this.options.scheduler.finished(batch, events);
  }

  #round(): void {
    const { prompts, scheduler, flops, clock } = this.options;
    const before = clock?.() ?? 0;
    for (; this.#arrived < prompts.length; this.#arrived++) {
      const prompt = prompts[this.#arrived] as Prompt;
      if (prompt.arrivalMs > this.#nowMs) break;
      scheduler.add(new SimRequest(this.#arrived, prompt, flops));
    }
    const batches: ScheduledBatch<SimRequest>[] = scheduler.round(this.#nowMs, this.#arrived === prompts.length);
    const requests = batches.reduce((sum, batch) => sum + batch.requests.length, 0);
    if (clock !== undefined && requests > 0) this.rounds.push({ tookMs: clock() - before, requests });
    for (const batch of batches) this.passes.push((this.#engines[batch.engine] as SimEngine).submit(batch, this.#nowMs));
  }

  /** The next moment at which something happens. */
  #advance(): void {
    const arrival = this.options.prompts[this.#arrived]?.arrivalMs ?? Infinity;
    const next = this.#engines.reduce((first, { nextEndMs }) => Math.min(first, nextEndMs), Math.min(arrival, this.options.scheduler.nextLeaveMs()));
    if (next === Infinity) throw new Error(`the scheduler keeps ${this.options.scheduler.waiting} requests although nothing more will happen`);
    this.#nowMs = Math.max(this.#nowMs, next);
  }

  step(): void {
    const [passes, answered, arrived, nowMs] = [this.passes.length, this.#answered, this.#arrived, this.#nowMs];
    for (const engine of this.#engines) while (engine.nextEndMs <= this.#nowMs) this.#finish(engine);
    this.#round();
    if (this.done) return;
    this.#advance();
    const stuck = this.#nowMs === nowMs && passes === this.passes.length && answered === this.#answered && arrived === this.#arrived;
    if (stuck) throw new Error(`the scheduler wants a batch to leave at ${nowMs} ms and lets none leave`);
  }
}

/**
 * Runs until every request is answered.
 * @throws Error when the scheduler loses a request, or gives one out twice
 */
export function replay(options: ReplayOptions): Replay {
  const run = new Run(options);
  while (!run.done) run.step();
  return { passes: run.passes, answeredMs: run.answeredMs, wallMs: run.nowMs, rounds: run.rounds };
}
