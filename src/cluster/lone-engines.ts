/** Engines that are a rank each and do not wait for each other: one that fails is started again alone. */
import { setTimeout as sleep } from 'node:timers/promises';
import { removeRunSegments, sweepStaleSegments } from '../collective/segment-files.ts';
import { type AsyncepError, InputError, RankError } from '../errors.ts';
import type { MemoryRow } from '../strategy/memory.ts';
import { Departures, type Departure, type Traveller } from './departures.ts';
import { engineInfo } from './engine-info.ts';
import type { EngineInfo, EngineState, PassAnswer, PassWork } from './engine-pool.ts';
import { closed, type EngineContext, type Engines, giveUp, lossOf, PASSES_OF_ENGINE } from './engines.ts';
import type { Launcher, StartedRank } from './launcher.ts';
import { answerOf, passMessage, type WorkLimits } from './pass-messages.ts';
import type { RankProcess } from './rank-process.ts';
import { endAll, type World } from './world.ts';

/** What all engines of a pool have in common. */
interface Shared extends EngineContext {
  readonly launcher: Launcher;
  /** Aborted when the pool is closed. */
  readonly closing: AbortSignal;
  nextPass(): number;
}

class LoneEngine {
  readonly departures = new Departures(1, PASSES_OF_ENGINE, (departure) => this.#run(departure));
  readonly #restarts;
  #state: EngineState = 'ready';
  #starts = 0;
  #memory: readonly MemoryRow[];
  /** Why it is not ready. */
  #error: RankError | null = null;

  constructor(private readonly shared: Shared, private current: RankProcess, private started: StartedRank) {
    this.#restarts = shared.restarts();
    this.#memory = started.info.memory;
  }

  get process(): RankProcess {
    return this.current;
  }

  get info(): EngineInfo {
    const { rank, pid } = this.current;
    return engineInfo([this.started], { engine: rank, pid, state: this.#state, restarts: this.#starts, memory: this.#memory });
  }

  /** @throws RankError */
  checkReady(): void {
    if (this.#state === 'ready') return;
    throw this.#error ?? new RankError(this.current.rank, 'is starting again');
  }

  async #run([traveller]: Departure): Promise<void> {
    const { work, answer, reject } = traveller as Traveller;
    const { current: process } = this;
    const pass = this.shared.nextPass();
    try {
      this.checkReady();
      const reply = await process.ask(passMessage(pass, work, null), 'result', `running pass ${pass}`);
      this.#restarts.answered();
      this.#memory = reply.memory;
      answer(answerOf(reply));
    } catch (error) {
      const ofRequest = error instanceof InputError && !process.failed;
      reject(ofRequest || this.shared.closing.aborted ? error : lossOf(process.rank, error as Error));
    }
  }

  /** The rank is of no more use. */
  failed(error: AsyncepError): void {
    if (this.#state === 'lost' || this.#state === 'gone' || this.shared.closing.aborted) return;
    const { rank } = this.current;
    const { launcher } = this.shared;
    const pauseMs = this.#restarts.failed();
    const reason = lossOf(rank, error);
    this.#error = pauseMs === null ? giveUp(reason, this.#restarts.inARow) : reason;
    this.#state = pauseMs === null ? 'gone' : 'lost';
    launcher.lost(rank);
    if (pauseMs === null) launcher.gaveUp(rank, new RankError(rank, 'is lost, and the experts that it had'));
    this.departures.refuse(this.#error);
    this.shared.tell(this.info, this.#error);
    void this.#restart(pauseMs, this.#error);
  }

  async #restart(pauseMs: number | null, error: RankError): Promise<void> {
    const { closing, launcher } = this.shared;
    this.current.kill(error);
    await this.current.gone;
    // Peers that read the segment have it open still.
    sweepStaleSegments();
    if (pauseMs === null) return;
    await sleep(pauseMs, undefined, { signal: closing }).catch(() => undefined);
    if (closing.aborted) return;
    const process = launcher.spawn(this.current.rank, (problem) => this.failed(problem));
    this.current = process;
    this.#starts++;
    this.#become('starting');
    try {
      const started = await launcher.start(process, true);
      if (this.current !== process || this.#state !== 'starting') return;
      this.started = started;
      this.#memory = started.info.memory;
      this.#become('ready');
    } catch (problem) {
      if (this.current === process) this.failed(problem as AsyncepError);
    }
  }

  #become(state: EngineState): void {
    this.#state = state;
    this.#error = null;
    this.shared.tell(this.info);
  }
}

export class LoneEngines implements Engines {
  readonly limits: WorkLimits;
  readonly #engines: readonly LoneEngine[];
  readonly #closing = new AbortController();
  readonly #launcher: Launcher;
  #passes = 0;
  #ended: Promise<void> | null = null;

  /** @param world has just started; its ranks stand for themselves from now on */
  constructor(context: EngineContext, world: World, started: readonly StartedRank[]) {
    this.#launcher = world.launcher;
    const shared: Shared = { ...context, launcher: world.launcher, closing: this.#closing.signal, nextPass: () => this.#passes++ };
    this.#engines = world.processes.map((process, rank) => new LoneEngine(shared, process, started[rank] as StartedRank));
    this.limits = { limits: (started[0] as StartedRank).limits, joint: false, maxBatchBlocks: Infinity };
    world.disband((rank, error) => this.#engines[rank]?.failed(error));
  }

  get infos(): EngineInfo[] {
    return this.#engines.map(({ info }) => info);
  }

  async pass(engine: number, work: PassWork): Promise<PassAnswer> {
    const lone = this.#engines[engine] as LoneEngine;
    lone.checkReady();
    return lone.departures.add(0, work);
  }

  close(): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    const reason = closed();
    this.#closing.abort();
    for (const { departures } of this.#engines) departures.refuse(reason);
    await endAll(this.#engines.map(({ process }) => process), reason, (process) => process.close(reason));
    removeRunSegments(this.#launcher.runId);
  }
}
