/**
 * Which engines the scheduler may use. It is told of each change once, whatever the order in which the pool says that an engine is lost and that
 * its passes failed; and one engine can be taken from it, for requests that should run alone. Where engines end together (ranks
 * that compute together, or pass bytes on), alone means alone among all.
 */
import type { EngineInfo, EnginePool } from '../cluster/engine-pool.ts';
import type { Routable, Scheduler } from './scheduling.ts';

interface Entry {
  passes: number;
  /** Times that the pool told of its loss. */
  losses: number;
  /** A pass failed with it, and the pool has not told yet. */
  doubtful: boolean;
  /** The scheduler may use it. */
  given: boolean;
}

/** A pass under way. */
export interface PassTicket {
  readonly engine: number;
  /** Losses of the engine when it began. */
  readonly losses: number;
}

export class EngineBoard {
  readonly #entries: readonly Entry[];
  #isolated: readonly number[] = [];
  /** The loss of one was the loss of all. */
  #together = false;

  constructor(private readonly pool: Pick<EnginePool, 'engines'>, private readonly scheduler: Pick<Scheduler<Routable>, 'lost' | 'ready'>) {
    this.#entries = pool.engines.map(() => ({ passes: 0, losses: 0, doubtful: false, given: true }));
    this.#entries.forEach((_, engine) => this.#tell(engine));
  }

  get passes(): number {
    return this.#entries.reduce((sum, { passes }) => sum + passes, 0);
  }

  get allHealthy(): boolean {
    return this.#entries.every((_, engine) => this.#healthy(engine));
  }

  begin(engine: number): PassTicket {
    const entry = this.#entry(engine);
    entry.passes++;
    return { engine, losses: entry.losses };
  }

  end({ engine }: PassTicket): void {
    this.#entry(engine).passes--;
    this.#tell(engine);
  }

  /** A pass failed because its engine was lost, be it that the pool told already (and may even have brought it back) or that it will. */
  failed({ engine, losses }: PassTicket): void {
    const entry = this.#entry(engine);
    if (entry.losses === losses && this.#ready(engine)) entry.doubtful = true;
    this.#tell(engine);
  }

  /** The pool told of a change. */
  changed({ engine, state }: EngineInfo): void {
    const entry = this.#entry(engine);
    if (state === 'lost' || state === 'gone') {
      entry.losses++;
      entry.doubtful = false;
      this.#together ||= this.pool.engines.every(({ state }) => state === 'lost' || state === 'gone');
      this.#withhold(engine);
    }
    this.#tell(engine);
  }

  /**
   * Takes an engine from the scheduler, the one with the fewest passes, and keeps it until {@link release}; another one when it is lost. Takes all where
   * they end together.
   * @returns the engine once nothing is under way that it could end; null before
   */
  isolate(): number | null {
    if (!this.#isolated.every((engine) => this.#healthy(engine))) this.release();
    if (this.#isolated.length === 0) this.#isolated = this.#together ? this.#byPasses() : this.#byPasses().slice(0, 1);
    for (const engine of this.#isolated) this.#tell(engine);
    const idle = this.#isolated.every((engine) => this.#entry(engine).passes === 0);
    return idle ? this.#isolated[0] ?? null : null;
  }

  release(): void {
    const engines = this.#isolated;
    this.#isolated = [];
    for (const engine of engines) this.#tell(engine);
  }

  /** Healthy engines, those with the fewest passes first. */
  #byPasses(): number[] {
    const healthy = this.#entries.map((_, engine) => engine).filter((engine) => this.#healthy(engine));
    return healthy.sort((a, b) => this.#entry(a).passes - this.#entry(b).passes || a - b);
  }

  #entry(engine: number): Entry {
    return this.#entries[engine] as Entry;
  }

  #ready(engine: number): boolean {
    return this.pool.engines[engine]?.state === 'ready';
  }

  #healthy(engine: number): boolean {
    return this.#ready(engine) && !this.#entry(engine).doubtful;
  }

  #withhold(engine: number): void {
    const entry = this.#entry(engine);
    if (!entry.given) return;
    entry.given = false;
    this.scheduler.lost(engine);
  }

  #tell(engine: number): void {
    const entry = this.#entry(engine);
    if (!this.#healthy(engine) || this.#isolated.includes(engine)) this.#withhold(engine);
    else if (!entry.given && entry.passes === 0) {
      // The scheduler counts an engine's passes from nothing.
      entry.given = true;
      this.scheduler.ready(engine);
    }
  }
}
