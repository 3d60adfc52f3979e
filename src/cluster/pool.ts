/** Opens an {@link EnginePool}: ranks that stay, and are started again when they fail. */
import { sweepStaleSegments } from '../collective/segment-files.ts';
import { InputError, type RankError } from '../errors.ts';
import type { TraceEvent } from '../trace/events.ts';
import { checkOptions } from './cluster.ts';
import type { EngineInfo, EnginePool } from './engine-pool.ts';
import { closed, type EngineContext, type Engines } from './engines.ts';
import { batchTokensOf, jointKind } from './joint.ts';
import type { LaunchOptions } from './launcher.ts';
import { LoneEngines } from './lone-engines.ts';
import type { Tuning } from './messages.ts';
import type { ClusterOptions } from './options.ts';
import { checkWork } from './pass-messages.ts';
import { Restarts } from './restarts.ts';
import { WorldEngines } from './world-engines.ts';
import { World } from './world.ts';

export interface EnginePoolOptions extends ClusterOptions {
  /** Failures of an engine in a row, without a single answered pass in between, after which it stays lost; 5 by default. */
  readonly maxFailures?: number;
  /** Pause before an engine is started again; it doubles with each failure in a row, up to 30 s. 500 ms by default. */
  readonly restartPauseMs?: number;
  /** Record timeline events for those who ask with `onTrace`. */
  readonly trace?: boolean;
  /** Whether `measuredFlopsPerSecond` and `peakFlopsPerSecond` are measured (default), by all ranks at once; else they are 0. */
  readonly measure?: boolean;
  /** Told at the end of the start what was measured or given of kernels, see `tuning`. */
  readonly onTuning?: (tuning: Tuning) => void;
}

const MAX_FAILURES = 5;
const RESTART_PAUSE_MS = 500;
/** A timed pass need not be larger: kernels are busy. */
const MEASURED_TOKENS = 512;

class Listeners<A extends readonly unknown[]> {
  readonly #listeners = new Set<(...args: A) => void>();

  /** @returns ends the subscription */
  add(listener: (...args: A) => void): () => void {
    // Of its own, so that one who subscribes twice hears twice.
    const own = (...args: A): void => listener(...args);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  tell(...args: A): void {
    for (const listener of this.#listeners) listener(...args);
  }
}

/**
 * Starts the ranks and makes them ready; a failure until then ends the launch.
 * @throws InputError for what cannot be run, AdapterError for a missing adapter, RankError for a rank that fails
 */
export async function launchEnginePool(options: EnginePoolOptions): Promise<EnginePool> {
  checkOptions(options);
  sweepStaleSegments();
  const { maxFailures = MAX_FAILURES, restartPauseMs = RESTART_PAUSE_MS, trace = false, measure = true, onTrace } = options;
  const traces = new Listeners<[readonly TraceEvent[]]>();
  const changes = new Listeners<[EngineInfo, RankError?]>();
  if (onTrace !== undefined) traces.add(onTrace);
  const context: EngineContext = {
    options: trace || onTrace !== undefined ? { ...options, onTrace: (events) => traces.tell(events) } : options,
    restarts: () => new Restarts(maxFailures, restartPauseMs),
    tell: (info, error) => (error === undefined ? changes.tell(info) : changes.tell(info, error)),
  };
  const alone = jointKind(options) === null && options.transport !== 'websocket';
  const launch: LaunchOptions = {
    // A rank that starts again alone reads the experts of the others.
    keepSegments: alone,
    ...(measure && { measureTokens: Math.min(batchTokensOf(options), MEASURED_TOKENS) }),
  };
  const world = new World(context.options, launch);
  const started = await world.start();
  options.onTuning?.(world.launcher.tuning);
  const engines = alone ? new LoneEngines(context, world, started) : new WorldEngines(context, launch, world, started);
  return new Pool(engines, changes, traces);
}

class Pool implements EnginePool {
  #closed = false;

  constructor(
    private readonly running: Engines,
    private readonly changes: Listeners<[EngineInfo, RankError?]>,
    private readonly traces: Listeners<[readonly TraceEvent[]]>,
  ) {}

  get engines(): readonly EngineInfo[] {
    return this.running.infos;
  }

  async pass(...[engine, work]: Parameters<EnginePool['pass']>): ReturnType<EnginePool['pass']> {
    if (this.#closed) throw closed();
    const count = this.engines.length;
    if (!Number.isInteger(engine) || engine < 0 || engine >= count) throw new InputError('engine', '', `${engine}; expected 0 to ${count - 1}`);
    checkWork(work, this.running.limits);
    return this.running.pass(engine, work);
  }

  onChange(listener: (engine: EngineInfo, error?: RankError) => void): () => void {
    return this.changes.add(listener);
  }

  onTrace(listener: (events: readonly TraceEvent[]) => void): () => void {
    return this.traces.add(listener);
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.running.close();
  }
}
