/** Engines whose ranks need each other in every pass, or to start: when one fails, all are started again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type AsyncepError, InputError, RankError } from '../errors.ts';
import type { MemoryRow } from '../strategy/memory.ts';
import { Departures, type Departure } from './departures.ts';
import { engineInfo, sumMemory } from './engine-info.ts';
import type { EngineInfo, EngineState, PassAnswer, PassWork } from './engine-pool.ts';
import { asRankError, closed, type EngineContext, type Engines, giveUp, PASSES_OF_ENGINE } from './engines.ts';
import { batchTokensOf, jointKind, jointShape } from './joint.ts';
import type { LaunchOptions, StartedRank } from './launcher.ts';
import { joinAnswers, passMessage, type WorkLimits } from './pass-messages.ts';
import type { Reply } from './rank-process.ts';
import { World } from './world.ts';

/** Engines that ride together, and the ranks that take part when they do. */
interface Group {
  readonly engines: readonly number[];
  readonly ranks: readonly number[];
  readonly inFlight: number;
  /** All ranks take part in every pass, and are told what the others have. */
  readonly joint: boolean;
}

interface Engine {
  /** Shared by all engines of its group, in which it has this place. */
  readonly departures: Departures;
  readonly place: number;
  /** That compute its batches. */
  readonly ranks: readonly number[];
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Ranks that read no segment in a pass ride alone. */
function groupsOf(options: EngineContext['options']): Group[] {
  const ranks = upTo(options.ranks);
  const kind = jointKind(options);
  if (kind === null) return ranks.map((rank) => ({ engines: [rank], ranks: [rank], inFlight: PASSES_OF_ENGINE, joint: false }));
  const { parts, inFlight } = jointShape(kind, options, batchTokensOf(options));
  return [{ engines: upTo(parts), ranks, inFlight, joint: true }];
}

export class WorldEngines implements Engines {
  readonly #engines: readonly Engine[];
  readonly #restarts;
  readonly #closing = new AbortController();
  #state: EngineState = 'ready';
  #error: RankError | null = null;
  #starts = 0;
  #passes = 0;
  /** Of each rank, after its last pass. */
  #memory: MemoryRow[][] = [];

  constructor(private readonly context: EngineContext, private readonly launch: LaunchOptions, private world: World, private started: readonly StartedRank[]) {
    this.#restarts = context.restarts();
    this.#engines = groupsOf(context.options).flatMap((group) => {
      const departures = new Departures(group.engines.length, group.inFlight, (departure) => this.#run(group, departure));
      return group.engines.map((engine, place) => ({ departures, place, ranks: group.engines.length === 1 ? group.ranks : [engine] }));
    });
    this.#begin(world, started);
  }

  get infos(): EngineInfo[] {
    return this.#engines.map(({ ranks }, engine) => {
      const started = ranks.map((rank) => this.started[rank] as StartedRank);
      const pid = this.world.processes[ranks[0] as number]?.pid ?? -1;
      return engineInfo(started, { engine, pid, state: this.#state, restarts: this.#starts, memory: sumMemory(ranks.map((rank) => this.#memory[rank] ?? [])) });
    });
  }

  get limits(): WorkLimits {
    const kind = jointKind(this.context.options)?.kind ?? 'own';
    return { limits: (this.started[0] as StartedRank).limits, joint: kind !== 'own', maxBatchBlocks: Math.min(...this.started.map(({ maxBatchBlocks }) => maxBatchBlocks)) };
  }

  async pass(engine: number, work: PassWork): Promise<PassAnswer> {
    this.#checkReady();
    const { departures, place } = this.#engines[engine] as Engine;
    return departures.add(place, work);
  }

  #checkReady(): void {
    if (this.#state !== 'ready') throw this.#error ?? new RankError(0, 'is starting again, and all others with it');
  }

  async #run({ engines, ranks, joint }: Group, departure: Departure): Promise<void> {
    const { world } = this;
    const pass = this.#passes++;
    const lengths = !joint ? null : departure.map((traveller) => traveller?.work.sequences.map(({ tokens }) => tokens.length) ?? []);
    const ask = async (rank: number, work: PassWork | undefined): Promise<Reply<'result'>> => {
      const process = world.processes[rank] as World['processes'][number];
      const reply = await process.ask(passMessage(pass, work, lengths), 'result', `running pass ${pass}`);
      this.#memory[rank] = reply.memory;
      return reply;
    };
    const settle = async (place: number, answer: () => Promise<PassAnswer>): Promise<void> => {
      try {
        const answered = await answer();
        if (departure[place] === undefined) return;
        this.#restarts.answered();
        departure[place].answer(answered);
      } catch (error) {
        departure[place]?.reject(await this.#reasonOf(world, error));
      }
    };
    // An engine is one of the ranks, or all of them.
    const parts = engines.length === ranks.length ? ranks.map((rank) => [rank]) : [ranks];
    await Promise.all(parts.map((members, place) => settle(place, async () => joinAnswers(await Promise.all(members.map((rank) => ask(rank, departure[place]?.work)))))));
  }

  /** What one rank reports may be another's fault: the end of the world says whose. */
  async #reasonOf(world: World, error: unknown): Promise<unknown> {
    if (error instanceof InputError && !world.processes.some((process) => process.failed)) return error;
    const verdict = await world.failure.catch((reason: AsyncepError) => reason);
    return this.#closing.signal.aborted ? verdict : asRankError(0, verdict);
  }

  #begin(world: World, started: readonly StartedRank[]): void {
    this.started = started;
    this.#memory = started.map(({ info }) => [...info.memory]);
    world.failure.catch((error: AsyncepError) => this.#failed(error));
  }

  #failed(error: AsyncepError): void {
    if (this.#closing.signal.aborted) return;
    const pauseMs = this.#restarts.failed();
    const reason = asRankError(0, error);
    this.#error = pauseMs === null ? giveUp(reason, this.#restarts.inARow) : reason;
    for (const { departures } of this.#engines) departures.refuse(this.#error);
    this.#become(pauseMs === null ? 'gone' : 'lost', this.#error);
    if (pauseMs !== null) void this.#restart(pauseMs);
  }

  async #restart(pauseMs: number): Promise<void> {
    const { signal } = this.#closing;
    await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    const { tuning } = this.world.launcher;
    const { onProgress: _, ...options } = this.context.options;
    this.world = new World({ ...options, tuning }, this.launch);
    this.#starts++;
    this.#error = null;
    this.#become('starting');
    try {
      this.#begin(this.world, await this.world.start());
      this.#become('ready');
    } catch (error) {
      this.#failed(error as AsyncepError);
    }
  }

  #become(state: EngineState, error?: RankError): void {
    this.#state = state;
    for (const info of this.infos) this.context.tell(info, error);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const { departures } of this.#engines) departures.refuse(closed());
    await this.world.close('engines');
  }
}
