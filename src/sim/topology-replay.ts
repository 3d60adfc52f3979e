/**
 * A workload through a scheduler onto ranks of which some go *in step*: those that hand each other a layer's experts pass the layers together, so a pass
 * of one lasts as long as the longest of all. A round of a group begins with a batch on at least one rank (the others join it with the batch they have, or
 * take part without one) and ends for all at the same time:
 *
 *     own     = max(FLOPs / rate, L_moe t_EP)       of each rank
 *     round   = max over the group of own
 *     exposed = own - FLOPs / rate,   held = round - own
 *
 * A group of one rank is an engine that waits for nobody. Layers are alike, so a pass is taken as a whole; serving/replay.ts plays them one by one.
 */
import TinyQueue from 'tinyqueue';
import type { CacheEvents } from '../engine/prefix/cache-events.ts';
import type { ScheduledBatch, Scheduler } from '../serving/scheduling.ts';
import { EngineCache } from './serving/engine-cache.ts';
import type { Prompt } from './serving/prompts.ts';
import { SimRequest, type RequestFlops } from './serving/request.ts';

export interface RankRates {
  readonly flopsPerSecond: number;
  /** t_EP of one layer; 0: nothing is gathered. */
  readonly gatherMs: number;
  readonly moeLayers: number;
}

export interface InStepOptions {
  readonly prompts: readonly Prompt[];
  readonly scheduler: Scheduler<SimRequest>;
  readonly ranks: number;
  /** Ranks of a group, which are neighbours; divides all. */
  readonly inStep: number;
  /** Of each rank's prefix cache. */
  readonly cacheBlocks: number;
  readonly rates: RankRates;
  readonly flops: RequestFlops;
}

/** What one rank did in a round. */
export interface RankPass {
  readonly rank: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly computeMs: number;
  readonly exposedMs: number;
  readonly flops: number;
  readonly tokens: number;
  readonly cachedTokens: number;
  readonly requests: number;
}

export interface InStepReplay {
  /** In the order in which they began. */
  readonly passes: readonly RankPass[];
  /** By index of the prompt. */
  readonly answeredMs: Float64Array;
  readonly wallMs: number;
}

/** A batch on its rank, and what it costs there. */
interface Planned {
  readonly batch: ScheduledBatch<SimRequest>;
  readonly events: CacheEvents;
  readonly computeMs: number;
  readonly flops: number;
  readonly tokens: number;
  readonly cachedTokens: number;
}

interface Round {
  readonly group: number;
  readonly endMs: number;
  readonly members: readonly Planned[];
}

class Run {
  readonly passes: RankPass[] = [];
  readonly answeredMs: Float64Array;
  readonly #caches: readonly EngineCache[];
  /** Batches that wait on each rank for the group's next round. */
  readonly #planned: readonly Planned[][];
  readonly #busy: Uint8Array;
  readonly #rounds = new TinyQueue<Round>([], (a, b) => a.endMs - b.endMs || a.group - b.group);
  #arrived = 0;
  #answered = 0;
  nowMs = 0;

  constructor(private readonly options: InStepOptions) {
    const { ranks, inStep, cacheBlocks, prompts } = options;
    if (ranks % inStep !== 0) throw new RangeError(`${ranks} ranks in groups of ${inStep}; expected whole groups`);
    this.#caches = Array.from({ length: ranks }, () => new EngineCache(cacheBlocks));
    this.#planned = Array.from({ length: ranks }, () => []);
    this.#busy = new Uint8Array(ranks / inStep);
    this.answeredMs = new Float64Array(prompts.length).fill(NaN);
  }

  get done(): boolean {
    return this.#answered === this.options.prompts.length && this.#rounds.length === 0;
  }

  /** Passes end, requests arrive, the scheduler has a round, batches that leave begin. */
  step(): void {
    const touched = new Set<number>();
    for (let round = this.#rounds.peek(); round !== undefined && round.endMs <= this.nowMs; round = this.#rounds.peek()) {
      this.#rounds.pop();
      touched.add(round.group);
      this.#end(round);
    }
    for (const batch of this.#schedule()) {
      (this.#planned[batch.engine] as Planned[]).push(this.#plan(batch));
      touched.add(Math.floor(batch.engine / this.options.inStep));
    }
    for (const group of touched) if (this.#busy[group] === 0) this.#begin(group);
    if (!this.done) this.#advance();
  }

  #end({ group, members }: Round): void {
    this.#busy[group] = 0;
    for (const { batch, events } of members) {
      for (const { id } of batch.requests) this.answeredMs[id] = this.nowMs;
      this.#answered += batch.requests.length;
      this.options.scheduler.finished(batch, events);
    }
  }

  #schedule(): ScheduledBatch<SimRequest>[] {
    const { prompts, scheduler, flops } = this.options;
    for (; this.#arrived < prompts.length; this.#arrived++) {
      const prompt = prompts[this.#arrived] as Prompt;
      if (prompt.arrivalMs > this.nowMs) break;
      scheduler.add(new SimRequest(this.#arrived, prompt, flops));
    }
    return scheduler.round(this.nowMs, this.#arrived === prompts.length);
  }

  #plan(batch: ScheduledBatch<SimRequest>): Planned {
    const { cachedTokens, events } = (this.#caches[batch.engine] as EngineCache).plan(batch.requests);
    let [flops, tokens, cached] = [0, 0, 0];
    batch.requests.forEach((request, i) => {
      flops += request.flops(cachedTokens[i] as number);
      tokens += request.tokens;
      cached += cachedTokens[i] as number;
    });
    return { batch, events, flops, tokens, cachedTokens: cached, computeMs: (flops / this.options.rates.flopsPerSecond) * 1000 };
  }

  #begin(group: number): void {
    const { inStep, rates: { gatherMs, moeLayers } } = this.options;
    const members: Planned[] = [];
    for (let rank = group * inStep; rank < (group + 1) * inStep; rank++) {
      const next = (this.#planned[rank] as Planned[]).shift();
      if (next !== undefined) members.push(next);
    }
    if (members.length === 0) return;
    const transferMs = moeLayers * gatherMs;
    const endMs = this.nowMs + members.reduce((longest, { computeMs }) => Math.max(longest, computeMs), transferMs);
    this.#busy[group] = 1;
    this.#rounds.push({ group, endMs, members });
    for (const { batch, computeMs, flops, tokens, cachedTokens } of members) {
      this.passes.push({
        rank: batch.engine, startMs: this.nowMs, endMs, computeMs, exposedMs: Math.max(0, transferMs - computeMs), flops, tokens, cachedTokens, requests: batch.requests.length,
      });
    }
  }

  #advance(): void {
    const { prompts, scheduler } = this.options;
    const next = Math.min(prompts[this.#arrived]?.arrivalMs ?? Infinity, this.#rounds.peek()?.endMs ?? Infinity, scheduler.nextLeaveMs());
    if (next === Infinity) throw new Error(`the scheduler keeps ${scheduler.waiting} requests although nothing more will happen`);
    this.nowMs = Math.max(this.nowMs, next);
  }
}

/**
 * Runs until every request is answered.
 * @throws RangeError when the ranks are no whole groups
 */
export function replayInStep(options: InStepOptions): InStepReplay {
  const run = new Run(options);
  while (!run.done) run.step();
  return { passes: run.passes, answeredMs: run.answeredMs, wallMs: run.nowMs };
}
