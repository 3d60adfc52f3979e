/**
 * The service over a pool of engines: a queue, the scheduler, and what happens when an engine is lost.
 *
 * Every accepted request is answered, fails or is withdrawn, exactly once. When its engine is lost it goes back to the head of the queue and runs
 * again, three times in all. What ended the engine may be a request in the batch, or one in the other batch that the engine had: so a request
 * that was lost twice is a suspect, and its third run is alone, on an engine that has nothing else under way. Nobody can lose that pass but the request
 * itself (or an engine that ends for reasons of its own): a good request is answered by its third run at the latest, whoever rode along before.
 */
import type { EnginePool } from '../cluster/engine-pool.ts';
import { RankError } from '../errors.ts';
import type { ModelConfig } from '../model/types.ts';
import { EngineBoard } from './engine-board.ts';
import { History } from './history.ts';
import { checkRequest, Job, type JobHooks, type Outcome } from './job.ts';
import { PassRunner } from './pass-runner.ts';
import { requestFlops } from './request-flops.ts';
import { CancelledError, DrainingError, GivenUpError, NoEnginesError, OverloadedError, type ServingAnswer, type ServingRequest } from './requests.ts';
import { createScheduler } from './scheduler.ts';
import type { Saturation } from './saturation.ts';
import type { Routable, ScheduledBatch, Scheduler, SchedulerKind, SchedulerOptions } from './scheduling.ts';
import type { EngineSnapshot, Service, ServiceObserver, ServiceSnapshot } from './service.ts';
import { Suspects } from './suspects.ts';
import { WakeUp } from './wake-up.ts';
import { Withdrawals } from './withdrawals.ts';

export interface ServiceOptions {
  readonly pool: EnginePool;
  /** Of the model, to count FLOPs. */
  readonly config: ModelConfig;
  readonly saturation: Saturation;
  readonly scheduler: SchedulerKind;
  /** Tokens to compute of one batch at most. */
  readonly batchTokens: number;
  /** A batch below the threshold leaves when its oldest request has waited so long. */
  readonly maxWaitMs: number;
  /** Most accepted requests that are in no pass; more are refused. */
  readonly maxWaiting: number;
  /** Of the scheduler `random`; 0 by default. */
  readonly seed?: number;
  /** Another scheduler than the real one, for tests. */
  readonly createScheduler?: <R extends Routable>(options: SchedulerOptions) => Scheduler<R>;
}

/** Runs of a request at most; the last one alone. */
const MAX_ATTEMPTS = 3;
/** What is told to come back when no throughput is known. */
const UNKNOWN_RETRY_SECONDS = 60;

const epochMs = (): number => performance.timeOrigin + performance.now();

/** Starts to serve; engines that are not ready yet are used when they are. */
export const createService = (options: ServiceOptions): Service => new LiveService(options);

class LiveService implements Service {
  readonly saturation: Saturation;
  readonly #options: ServiceOptions;
  readonly #scheduler: Scheduler<Job>;
  readonly #board: EngineBoard;
  readonly #suspects: Suspects;
  readonly #runner: PassRunner;
  readonly #history: History;
  readonly #observers: ServiceObserver[];
  readonly #startedMs = epochMs();
  readonly #withdrawals = new Withdrawals<Job>((job) => this.#withdraw(job));
  readonly #wakeUp = new WakeUp(() => this.#round(), epochMs);
  readonly #jobHooks: JobHooks;
  readonly #unsubscribe: readonly (() => void)[];
  /** Accepted and not settled. */
  readonly #jobs = new Set<Job>();
  /** Those of them that are in no pass, and their FLOPs when nothing is cached. */
  #waiting = 0;
  #waitingFlops = 0;
  /** Lost with their engine, on their way back to the queue. */
  #returned: Job[] = [];
  #nextId = 0;
  /** Why nothing can be answered any more. */
  #ended: NoEnginesError | null = null;
  #draining = false;
  #whenDrained: (() => void)[] = [];

  constructor(options: ServiceOptions) {
    const { pool, config, saturation, scheduler, batchTokens, maxWaitMs, seed = 0, createScheduler: create = createScheduler } = options;
    this.#options = options;
    this.saturation = saturation;
    const cacheBlocks = Math.min(...pool.engines.map((engine) => engine.cacheBlocks));
    this.#jobHooks = { sharesPrefixes: cacheBlocks > 0, flops: requestFlops(config), settled: (...ended) => this.#settled(...ended) };
    this.#scheduler = create<Job>({
      kind: scheduler, engines: pool.engines.length, threshold: saturation.threshold, batchTokens, maxWaitMs, seed,
      batchBlocks: Math.min(...pool.engines.map(({ maxBatchBlocks }) => maxBatchBlocks)),
      cacheBlocks,
    });
    this.#history = new History(pool.engines.length, saturation.threshold);
    this.#observers = [this.#history];
    this.#board = new EngineBoard(pool, this.#scheduler);
    this.#suspects = new Suspects(this.#board);
    this.#runner = new PassRunner(pool, saturation.threshold, {
      now: epochMs,
      passed: (pass, allFlops) => {
        this.#history.record(pass, allFlops);
        for (const observer of this.#observers) observer.pass?.(pass);
      },
    });
    this.#unsubscribe = [
      pool.onTrace((events) => this.#history.trace(events)),
      pool.onChange((engine, error) => {
        this.#board.changed(engine);
        for (const observer of this.#observers) observer.engine?.(engine);
        if (pool.engines.every(({ state }) => state === 'gone')) this.#end(new NoEnginesError(error?.message ?? 'it is gone'));
        this.#wakeUp.now();
      }),
    ];
  }

  get ready(): boolean {
    return this.#options.pool.engines.every(({ state }) => state === 'ready');
  }

  async submit(request: ServingRequest): Promise<ServingAnswer> {
    if (this.#ended !== null) throw this.#ended;
    if (this.#draining) throw new DrainingError();
    checkRequest(request);
    if (request.signal?.aborted) throw new CancelledError();
    if (this.#waiting >= this.#options.maxWaiting) {
      for (const observer of this.#observers) observer.rejected?.();
      throw new OverloadedError(this.#waiting, this.#retryAfterSeconds());
    }
    const job = new Job(this.#nextId++, request, epochMs(), this.#jobHooks);
    this.#jobs.add(job);
    this.#count(job, 1);
    if (request.signal) this.#withdrawals.add(request.signal, job);
    this.#scheduler.add(job);
    for (const observer of this.#observers) observer.accepted?.(request);
    this.#wakeUp.now();
    return job.answer;
  }

  observe(observer: ServiceObserver): void {
    this.#observers.push(observer);
  }

  snapshot(): ServiceSnapshot {
    const { pool, scheduler } = this.#options;
    return {
      startedMs: this.#startedMs, scheduler, saturation: this.saturation, draining: this.#draining,
      waiting: this.#waiting, underWay: this.#jobs.size - this.#waiting, counts: { ...this.#history.counts },
      engines: pool.engines.map((info, engine): EngineSnapshot => ({ info, load: this.#scheduler.load(engine), ...this.#history.sums(engine) })),
      passes: this.#history.passes, trace: this.#history.events,
    };
  }

  drain(): Promise<void> {
    this.#draining = true;
    this.#wakeUp.now();
    return new Promise((resolve) => {
      this.#whenDrained.push(resolve);
      this.#checkDrained();
    });
  }

  async close(): Promise<void> {
    this.#draining = true;
    this.#wakeUp.close();
    for (const end of this.#unsubscribe) end();
    for (const job of this.#jobs) job.reject(new DrainingError());
    await this.#options.pool.close();
  }

  #round(): void {
    const nowMs = epochMs();
    this.#putBack();
    const suspect = this.#suspects.next(nowMs);
    if (suspect) void this.#run(suspect.engine, [suspect.job], null);
    for (const batch of this.#scheduler.round(nowMs, this.#draining)) void this.#run(batch.engine, batch.requests, batch);
    this.#wakeUp.at(Math.min(this.#scheduler.nextLeaveMs(), this.#suspects.wakeMs(nowMs)), nowMs);
  }

  /** No engine will ever be there again: who waits is told. */
  #end(reason: NoEnginesError): void {
    this.#ended = reason;
    for (const job of this.#jobs) if (!job.running) job.reject(reason);
  }

  /** What was lost since the last round, the oldest first, whichever engine had it. */
  #putBack(): void {
    const jobs = this.#returned.filter((job) => job.open).sort((a, b) => a.id - b.id);
    this.#returned = [];
    if (jobs.length > 0) this.#scheduler.putBack(jobs);
  }

  /** @param batch null where the scheduler does not know of it */
  async #run(engine: number, jobs: readonly Job[], batch: ScheduledBatch<Job> | null): Promise<void> {
    for (const job of jobs) {
      this.#count(job, -1);
      job.running = true;
    }
    const ticket = this.#board.begin(engine);
    try {
      const events = await this.#runner.run(engine, jobs, batch?.flops ?? jobs.reduce((sum, { allFlops }) => sum + allFlops, 0));
      if (batch) this.#scheduler.finished(batch, events);
    } catch (error) {
      if (batch) this.#scheduler.finished(batch);
      if (error instanceof RankError) {
        this.#board.failed(ticket);
        this.#lost(engine, jobs, error);
      } else for (const job of jobs) job.reject(error as Error);
    }
    this.#board.end(ticket);
    this.#wakeUp.now();
    this.#checkDrained();
  }

  #lost(engine: number, jobs: readonly Job[], error: RankError): void {
    const again = jobs.filter((job) => {
      if (this.#ended !== null) job.reject(this.#ended);
      else if (job.lostPasses === MAX_ATTEMPTS) job.reject(new GivenUpError(MAX_ATTEMPTS, error.message));
      return job.open;
    });
    if (again.length === 0) return;
    for (const job of again) {
      job.running = false;
      this.#count(job, 1);
      if (job.lostPasses === MAX_ATTEMPTS - 1) this.#suspects.add(job);
      else this.#returned.push(job);
    }
    for (const observer of this.#observers) observer.retried?.(again.length, engine);
  }

  #withdraw(job: Job): void {
    if (!job.running) this.#scheduler.withdraw(job.id);
    job.reject(new CancelledError(), 'cancelled');
    this.#wakeUp.now();
  }

  #settled(job: Job, outcome: Outcome, result: ServingAnswer | Error): void {
    const { request } = job;
    this.#jobs.delete(job);
    if (!job.running) this.#count(job, -1);
    if (request.signal) this.#withdrawals.delete(request.signal, job);
    for (const observer of this.#observers) {
      if (outcome === 'cancelled') observer.cancelled?.();
      else if (outcome === 'failed') observer.failed?.(request, result as Error);
      else observer.answered?.(request, result as ServingAnswer);
    }
    this.#checkDrained();
  }

  #count({ allFlops }: Job, change: 1 | -1): void {
    this.#waiting += change;
    // From nothing anew, so that roundings do not add up.
    this.#waitingFlops = this.#waiting === 0 ? 0 : this.#waitingFlops + change * allFlops;
  }

  #checkDrained(): void {
    if (!this.#draining || this.#jobs.size > 0 || this.#board.passes > 0) return;
    for (const resolve of this.#whenDrained.splice(0)) resolve();
  }

  /** Until what waits now has left, at the pace of the last passes (before the first one, of the engines' warm-up). */
  #retryAfterSeconds(): number {
    const { engines } = this.#options.pool;
    const ready = engines.filter(({ state }) => state === 'ready').length;
    const recent = this.#history.engineFlopsPerSecond;
    const flopsPerSecond = recent === null ? engines.reduce((sum, { measuredFlopsPerSecond }) => sum + measuredFlopsPerSecond, 0) : recent * Math.max(1, ready);
    const seconds = Math.max(1, Math.ceil(this.#waitingFlops / flopsPerSecond));
    return Number.isFinite(seconds) ? seconds : UNKNOWN_RETRY_SECONDS;
  }
}
