/**
 * A workload through a scheduler onto simulated engines, in one simulation with their steps. What happens at one moment happens in this order: passes end,
 * requests arrive, the scheduler has a round, batches that leave begin. Nothing depends on the computer's clock.
 */
import type { ScheduledBatch, Scheduler } from '../../serving/scheduling.ts';
import { ratesOf } from '../cost.ts';
import { LiveSteps, type RankTotals } from '../live-steps.ts';
import type { Schedule } from '../schedule.ts';
import { EngineCache, type CachePlan } from './engine-cache.ts';
import { SimEngine, type Pass } from './engine.ts';
import type { Prompt } from './prompts.ts';
import { SimRequest, type RequestFlops } from './request.ts';
import { openWorld, type SimWorld, type WorldOptions } from './world.ts';

/** Is told what happens, in order; changes nothing. What the scheduler decides within a round, its `onRoute` tells. */
export interface ReplayObserver {
  /**
   * The scheduler had a round.
   * @param arrived requests that came before it, the next ones by index
   * @param left batches that leave now
   */
  round(nowMs: number, arrived: number, left: readonly ScheduledBatch<SimRequest>[]): void;
  /** @param plan what the engine's cache did to the batch */
  ended(pass: Pass, plan: CachePlan): void;
}

export interface ReplayOptions {
  readonly prompts: readonly Prompt[];
  /** Of as many engines as the world has. */
  readonly scheduler: Scheduler<SimRequest>;
  readonly world: WorldOptions;
  /** Of each engine's prefix cache, where the strategy has any. */
  readonly cacheBlocks: number;
  readonly flops: RequestFlops;
  /** A clock in milliseconds, to time the scheduler with; it changes nothing in the run. */
  readonly clock?: () => number;
  /** The steps of so many passes are kept (of each rank, where ranks run passes of their own). */
  readonly keptPasses?: number;
  readonly observer?: ReplayObserver;
}

export interface Replay {
  /** In the order in which they ended. */
  readonly passes: readonly Pass[];
  /** When each request was answered, by index of its prompt. */
  readonly answeredMs: Float64Array;
  readonly wallMs: number;
  /** Real milliseconds that each round (with the requests added before it) took the scheduler, and how many requests left with it. */
  readonly rounds: readonly { readonly tookMs: number; readonly requests: number }[];
  /** What ranks did, by rank; transfers ahead of passes that did not come are counted. */
  readonly totals: RankTotals;
  /** See {@link SimWorld.busyMs}. */
  readonly busyMs: number;
  /** Steps of all passes that were played. */
  readonly steps: number;
  /** Steps of the first passes; null when none were kept. */
  readonly schedule: Schedule | null;
}

class Run {
  readonly passes: Pass[] = [];
  readonly rounds: { tookMs: number; requests: number }[] = [];
  readonly answeredMs: Float64Array;
  readonly steps: LiveSteps;
  readonly world: SimWorld;
  readonly #engines: readonly SimEngine[];
  #arrived = 0;
  #answered = 0;
  #roundComes = false;
  /** When the scheduler was last promised to be asked. */
  #leaveMs = NaN;
  wallMs = 0;

  constructor(private readonly options: ReplayOptions) {
    const { world, cacheBlocks, keptPasses = 0, prompts } = options;
    this.steps = new LiveSteps(ratesOf(world), { ranks: world.ranks, keptPasses, ...(world.processors !== undefined && { processors: world.processors }) });
    this.world = openWorld(this.steps, world);
    this.#engines = Array.from({ length: this.world.engines }, (_, index) => new SimEngine(index, this.world, this.world.cachesPrefixes ? new EngineCache(cacheBlocks) : null));
    this.answeredMs = new Float64Array(prompts.length).fill(NaN);
  }

  play(): void {
    this.#awaitArrival();
    this.steps.simulation.run();
    const { prompts, scheduler } = this.options;
    if (this.#answered < prompts.length) throw new Error(`the scheduler keeps ${scheduler.waiting} requests although nothing more will happen`);
  }

  #awaitArrival(): void {
    const prompt = this.options.prompts[this.#arrived];
    if (prompt !== undefined) this.steps.simulation.at(prompt.arrivalMs, () => this.#wantRound());
  }

  /** One for all that happens at this moment. */
  #wantRound(): void {
    if (this.#roundComes) return;
    this.#roundComes = true;
    this.steps.simulation.afterMoment(() => {
      this.#roundComes = false;
      this.#round();
    });
  }

  #round(): void {
    const { scheduler, prompts, clock, observer } = this.options;
    const { simulation } = this.steps;
    const { nowMs } = simulation;
    const before = clock?.() ?? 0;
    const arrived = this.#addArrived(nowMs);
    const batches: ScheduledBatch<SimRequest>[] = scheduler.round(nowMs, this.#arrived === prompts.length);
    const requests = batches.reduce((sum, batch) => sum + batch.requests.length, 0);
    if (clock !== undefined && requests > 0) this.rounds.push({ tookMs: clock() - before, requests });
    observer?.round(nowMs, arrived, batches);
    for (const batch of batches) (this.#engines[batch.engine] as SimEngine).submit(batch, simulation, (pass, plan) => this.#over(pass, plan));
    if (arrived > 0) this.#awaitArrival();
    this.#awaitLeave(batches.length > 0 || arrived > 0);
  }

  #addArrived(nowMs: number): number {
    const { prompts, scheduler, flops } = this.options;
    const first = this.#arrived;
    for (; this.#arrived < prompts.length; this.#arrived++) {
      const prompt = prompts[this.#arrived] as Prompt;
      if (prompt.arrivalMs > nowMs) break;
      scheduler.add(new SimRequest(this.#arrived, prompt, flops));
    }
    return this.#arrived - first;
  }

  /** @param changed whether anything was different after the round */
  #awaitLeave(changed: boolean): void {
    const { simulation } = this.steps;
    const leaveMs = this.options.scheduler.nextLeaveMs();
    if (leaveMs === Infinity || leaveMs === this.#leaveMs && leaveMs > simulation.nowMs) return;
    if (leaveMs <= simulation.nowMs && !changed) throw new Error(`the scheduler wants a batch to leave at ${leaveMs} ms and lets none leave`);
    this.#leaveMs = leaveMs;
    simulation.at(leaveMs, () => this.#wantRound());
  }

  #over(pass: Pass, plan: CachePlan): void {
    const { batch, endMs } = pass;
    for (const { id } of batch.requests) {
      if (!Number.isNaN(this.answeredMs[id])) throw new Error(`request ${id} was answered twice`);
      this.answeredMs[id] = endMs;
      this.#answered++;
    }
    this.wallMs = endMs;
    this.passes.push(pass);
    this.options.observer?.ended(pass, plan);
    this.options.scheduler.finished(batch, plan.events);
    this.#wantRound();
  }
}

/**
 * Runs until every request is answered.
 * @throws Error when the scheduler loses a request, or gives one out twice; InputError for a world that cannot be
 */
export function replay(options: ReplayOptions): Replay {
  const run = new Run(options);
  run.play();
  const { passes, answeredMs, wallMs, rounds, steps, world } = run;
  return { passes, answeredMs, wallMs, rounds, totals: steps.totals, busyMs: world.busyMs, steps: steps.simulation.steps, schedule: steps.schedule() };
}
