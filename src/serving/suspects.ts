/**
 * Requests that were lost twice, each of which may be what ends engines: they run alone, one after the other, on an engine that has nothing else
 * under way. What ended one engine may be about to end the others, too (ranks that share a device), and a last run is not to be wasted on
 * that: they wait until all engines are up, for a while.
 */
import type { EngineBoard } from './engine-board.ts';
import type { Job } from './job.ts';

/** For so long they wait for all engines. */
const RECOVERY_MS = 60_000;

export class Suspects {
  #jobs: Job[] = [];
  #recoveryMs = Infinity;

  constructor(private readonly board: Pick<EngineBoard, 'allHealthy' | 'isolate' | 'release'>) {}

  add(job: Job): void {
    this.#jobs.push(job);
  }

  /** The one to run now, and where; null when there is none or it has to wait. An engine stays taken from the scheduler until none is left. */
  next(nowMs: number): { readonly job: Job; readonly engine: number } | null {
    this.#jobs = this.#jobs.filter((job) => job.open);
    if (this.#jobs.length === 0) this.#recoveryMs = Infinity;
    else if (this.#recoveryMs === Infinity) this.#recoveryMs = nowMs + RECOVERY_MS;
    if (this.#jobs.length === 0 || (!this.board.allHealthy && nowMs < this.#recoveryMs)) {
      this.board.release();
      return null;
    }
    const engine = this.board.isolate();
    return engine === null ? null : { job: this.#jobs.shift() as Job, engine };
  }

  /** When they wait no longer for all engines. */
  wakeMs(nowMs: number): number {
    return this.#recoveryMs > nowMs ? this.#recoveryMs : Infinity;
  }
}
