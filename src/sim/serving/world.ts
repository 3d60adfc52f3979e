/**
 * Ranks that take batches one by one, as the pool of real engines gives them (cluster/pool.ts), under any strategy:
 *
 *     asyncep, sync, resident   each rank is an engine with two passes under way, and waits for nobody
 *     ep, dp-tp                 each rank is an engine with sequences of its own, but all ride together: what is there when a pass leaves leaves with it
 *     tp, tp-ep, pp             all ranks are one engine
 *
 * Every pass is steps on the ranks' channels, the same as in the prediction of a given run (cost.ts).
 */
import { passShape } from '../../cluster/batching.ts';
import { DepartureQueues, type Leaving } from '../../cluster/departure-queues.ts';
import { PASSES_OF_ENGINE } from '../../cluster/engines.ts';
import { InputError } from '../../errors.ts';
import { ExchangingRanks } from '../exchanging.ts';
import type { LiveSteps } from '../live-steps.ts';
import { PipelineRanks } from '../pipeline.ts';
import { hasOwnSequences, STRATEGY_KINDS, type WorldShape } from '../run-shape.ts';
import type { StepId } from '../simulation.ts';
import { checkShape } from '../slot-feed.ts';
import { RankStream } from '../streaming.ts';
import { Work, type Sequences } from '../work.ts';

/** A batch of one engine. */
export interface BatchWork {
  /** Tokens of each sequence to compute. */
  readonly newTokens: Sequences;
  /** Tokens before these that are in the engine's prefix cache. */
  readonly cachedTokens: Sequences;
}

/** Engines of one world, and the simulation in which they live. */
export interface SimWorld {
  readonly engines: number;
  /** Ranks of each engine. */
  readonly ranksOfEngine: number;
  /** Whether engines can have a prefix cache: where ranks compute every batch together they know its rows from the lengths alone. */
  readonly cachesPrefixes: boolean;
  /** Milliseconds in which a pass was under way, summed over ranks; what a rank did not compute of it, it waited. */
  readonly busyMs: number;
  /**
   * Gives an engine a batch now. It begins when the engine's turn has come.
   * @param answered told when its last step is over
   */
  submit(engine: number, work: BatchWork, answered: () => void): void;
}

export interface WorldOptions extends WorldShape {
  /** Passes under way at the same time, where all ranks take part in them; as in the cluster by default. */
  readonly inFlight?: number;
}

interface Traveller {
  readonly work: BatchWork;
  readonly answered: () => void;
}

/** Time with at least one pass under way. */
class BusyTime {
  #underWay = 0;
  #sinceMs = 0;
  totalMs = 0;

  begin(nowMs: number): void {
    if (this.#underWay++ === 0) this.#sinceMs = nowMs;
  }

  end(nowMs: number): void {
    if (--this.#underWay === 0) this.totalMs += nowMs - this.#sinceMs;
  }
}

interface LoneRank {
  readonly stream: RankStream;
  readonly waiting: DepartureQueues<Traveller>;
  readonly busy: BusyTime;
}

/** Each rank runs its own passes from end to end. */
class LoneRanks implements SimWorld {
  readonly engines: number;
  readonly ranksOfEngine = 1;
  readonly cachesPrefixes = true;
  readonly #ranks: readonly LoneRank[];

  constructor(private readonly steps: LiveSteps, private readonly options: WorldOptions) {
    this.engines = options.ranks;
    this.#ranks = Array.from({ length: options.ranks }, (_, rank) => (
      { stream: new RankStream(steps, options, rank), waiting: new DepartureQueues(1, PASSES_OF_ENGINE), busy: new BusyTime() }));
  }

  get busyMs(): number {
    return this.#ranks.reduce((sum, { busy }) => sum + busy.totalMs, 0);
  }

  submit(engine: number, work: BatchWork, answered: () => void): void {
    this.#ranks[engine]?.waiting.add(0, { work, answered });
    this.#leave(engine);
  }

  #leave(engine: number): void {
    const { stream, waiting, busy } = this.#ranks[engine] as LoneRank;
    const { simulation } = this.steps;
    for (let leaving = waiting.next(); leaving !== null; leaving = waiting.next()) {
      const { work: { newTokens, cachedTokens }, answered } = leaving[0] as Traveller;
      busy.begin(simulation.nowMs);
      stream.pass(new Work(this.options.config, newTokens, cachedTokens), (last) => simulation.whenOver(last, () => {
        busy.end(simulation.nowMs);
        waiting.over();
        answered();
        this.#leave(engine);
      }));
    }
  }
}

/** Adds a pass. @param parts sequences of each engine @returns the steps by which each engine is done with it */
type AddPass = (pass: number, parts: readonly Sequences[]) => readonly (readonly StepId[])[];

function passesOf(steps: LiveSteps, options: WorldOptions): AddPass {
  if (STRATEGY_KINDS[options.strategy] === 'pipeline') {
    const ranks = new PipelineRanks(steps, options);
    return (pass, parts) => [[ranks.pass(pass, parts.flat(), [])]];
  }
  const ranks = new ExchangingRanks(steps, options);
  const own = hasOwnSequences(options.strategy);
  return (pass, parts) => {
    // A round of its own: a server does not know which passes will come together.
    const [frontier = []] = ranks.round([{ pass, parts, after: [] }]);
    return own ? frontier : [frontier.flat()];
  };
}

/** All ranks take part in every pass. */
class JointRanks implements SimWorld {
  readonly engines: number;
  readonly ranksOfEngine: number;
  readonly cachesPrefixes = false;
  readonly #waiting: DepartureQueues<Traveller>;
  readonly #add: AddPass;
  readonly #busy = new BusyTime();
  #passes = 0;
  #leaves = false;

  constructor(private readonly steps: LiveSteps, options: WorldOptions) {
    const { strategy, ranks, inFlight } = options;
    const kind = STRATEGY_KINDS[strategy] === 'pipeline' ? 'stages' : 'split';
    const shape = passShape(kind, { ofAll: !hasOwnSequences(strategy), ranks, batchTokens: 1, totalTokens: 1, ...(inFlight !== undefined && { inFlight }) });
    this.engines = shape.parts;
    this.ranksOfEngine = ranks / shape.parts;
    this.#waiting = new DepartureQueues(shape.parts, shape.inFlight);
    this.#add = passesOf(steps, options);
  }

  get busyMs(): number {
    return this.#busy.totalMs * this.engines * this.ranksOfEngine;
  }

  submit(engine: number, work: BatchWork, answered: () => void): void {
    this.#waiting.add(engine, { work, answered });
    this.#leaveTogether();
  }

  /** What is given in the same moment leaves together: what is given because a pass is over, too. */
  #leaveTogether(): void {
    if (this.#leaves) return;
    this.#leaves = true;
    this.steps.simulation.afterMoment(() => {
      this.#leaves = false;
      this.#leave();
    });
  }

  #leave(): void {
    for (let leaving = this.#waiting.next(); leaving !== null; leaving = this.#waiting.next()) this.#run(leaving);
  }

  #run(leaving: Leaving<Traveller>): void {
    const { simulation } = this.steps;
    this.#busy.begin(simulation.nowMs);
    const ends = this.#add(this.#passes++, leaving.map((traveller) => traveller?.work.newTokens ?? []));
    for (const [engine, traveller] of leaving.entries()) if (traveller !== undefined) simulation.whenAllOver(ends[engine] as readonly StepId[], traveller.answered);
    simulation.whenAllOver(ends.flat(), () => {
      this.#busy.end(simulation.nowMs);
      this.#waiting.over();
      this.#leaveTogether();
    });
  }
}

/**
 * Engines under a strategy, on ranks that have nothing to do yet.
 * @throws InputError when the model cannot be split over so many ranks, or the strategy cannot offload
 */
export function openWorld(steps: LiveSteps, options: WorldOptions): SimWorld {
  if (!Number.isInteger(options.ranks) || options.ranks < 1) throw new InputError('ranks', '', `${options.ranks}; expected a whole number of at least 1`);
  checkShape(options);
  return STRATEGY_KINDS[options.strategy] === 'streaming' ? new LoneRanks(steps, options) : new JointRanks(steps, options);
}
