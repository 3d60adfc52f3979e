/** Ranks that start, fail and end together. */
import { removeRunSegments } from '../collective/segment-files.ts';
import { AsyncepError } from '../errors.ts';
import { Hearing } from './hearing.ts';
import { deadlineMsOf, Launcher, type LaunchOptions, type StartedRank } from './launcher.ts';
import type { ClusterOptions } from './options.ts';
import type { RankProcess } from './rank-process.ts';

/** Ranks that are told to end may take so long. */
const CLOSE_MS = 5000;

export class World {
  readonly launcher: Launcher;
  readonly processes: readonly RankProcess[];
  /** Rejects when the world has ended and everything has been cleared away; whoever waits for a step hears of it. */
  readonly failure: Promise<never>;
  #fail!: (error: Error) => void;
  #onFailed: (rank: number, error: AsyncepError) => void;
  #ended: Promise<void> | null = null;

  constructor(options: ClusterOptions, launch?: LaunchOptions) {
    const hearing = new Hearing(options.ranks, deadlineMsOf(options), (verdict) => void this.abort(verdict));
    this.#onFailed = (rank, error) => hearing.hear(rank, error);
    this.failure = new Promise((_, reject) => (this.#fail = reject));
    this.failure.catch(() => undefined);
    this.launcher = new Launcher(options, launch);
    this.processes = Array.from({ length: options.ranks }, (_, rank) => this.launcher.spawn(rank, (error) => this.#onFailed(rank, error)));
  }

  /** @throws what ended the world, once it has been cleared away */
  async start(): Promise<StartedRank[]> {
    const started = await this.all((process) => this.launcher.start(process));
    this.launcher.started();
    return started;
  }

  all<T>(step: (process: RankProcess) => Promise<T>): Promise<T[]> {
    return this.orFailure(Promise.all(this.processes.map(step)));
  }

  /** `promise`, or the failure of any rank, whichever comes first; by then everything has been cleared away. */
  orFailure<T>(promise: Promise<T>): Promise<T> {
    promise.catch(() => undefined);
    return Promise.race([promise, this.failure]).catch(async (error: unknown) => {
      // What one rank reports may be another's fault: the hearing decides, and ends everything.
      if (this.processes.some((process) => process.failed)) return this.failure;
      await this.abort(error as AsyncepError);
      throw error;
    });
  }

  /** From now on each rank stands for itself, and `failed` hears of each that fails. */
  disband(failed: (rank: number, error: AsyncepError) => void): void {
    this.#onFailed = failed;
  }

  /** Ends everything at once; the first reason is the one that is told. */
  abort(reason: AsyncepError): Promise<void> {
    this.#ended ??= this.#clear(reason, (process) => process.kill(reason));
    return this.#ended;
  }

  /** Lets the ranks end; no process and no segment is left. @param what is closed, for those who still wait */
  close(what: string): Promise<void> {
    const reason = new AsyncepError(`the ${what} have been closed`);
    this.#ended ??= this.#clear(reason, (process) => process.close(reason));
    return this.#ended;
  }

  async #clear(reason: AsyncepError, end: (process: RankProcess) => void): Promise<void> {
    await endAll(this.processes, reason, end);
    removeRunSegments(this.launcher.runId);
    this.#fail(reason);
  }
}

/** Ends processes, at last by force. */
export async function endAll(processes: readonly RankProcess[], reason: AsyncepError, end: (process: RankProcess) => void): Promise<void> {
  processes.forEach(end);
  const timer = setTimeout(() => processes.forEach((process) => process.kill(reason)), CLOSE_MS);
  await Promise.all(processes.map(({ gone }) => gone));
  clearTimeout(timer);
}
