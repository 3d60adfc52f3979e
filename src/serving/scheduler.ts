import type { CacheEvents } from '../engine/prefix/cache-events.ts';
import { InputError } from '../errors.ts';
import { BaselinePolicy } from './baseline-policy.ts';
import { EngineState } from './engine-state.ts';
import type { Entry } from './filling-batch.ts';
import { GroupedPolicy } from './grouped-policy.ts';
import type { Policy, SchedulerState } from './policy.ts';
import { PrefixPolicy } from './prefix-policy.ts';
import { MAX_ENGINES, PrefixTable } from './prefix-table.ts';
import { RequestQueue } from './request-queue.ts';
import type { EngineLoad, Routable, ScheduledBatch, Scheduler, SchedulerOptions } from './scheduling.ts';

function policyOf<R extends Routable>(state: SchedulerState<R>): Policy<R> {
  const { kind } = state.options;
  if (kind === 'grouped') return new GroupedPolicy(state);
  return kind === 'prefix' ? new PrefixPolicy(state) : new BaselinePolicy(state);
}

class RoundScheduler<R extends Routable> implements Scheduler<R> {
  readonly #state: SchedulerState<R>;
  readonly #policy: Policy<R>;
  /** All that have not left, by id. */
  readonly #waiting = new Map<number, Entry<R>>();
  #firstPlace = 0;
  #nextPlace = 0;

  constructor(options: SchedulerOptions) {
    this.#state = {
      options,
      engines: Array.from({ length: options.engines }, (_, index) => new EngineState<R>(index, options)),
      table: new PrefixTable(options.engines, options.engines * options.cacheBlocks),
      queue: new RequestQueue(),
    };
    this.#policy = policyOf(this.#state);
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  add(request: R): void {
    this.#state.queue.add(this.#entry(request, this.#nextPlace++));
  }

  putBack(requests: readonly R[]): void {
    this.#firstPlace -= requests.length;
    this.#state.queue.insert(requests.map((request, i) => this.#entry(request, this.#firstPlace + i)));
  }

  withdraw(id: number): boolean {
    const entry = this.#waiting.get(id);
    if (entry === undefined) return false;
    this.#waiting.delete(id);
    const { queue, engines } = this.#state;
    if (!queue.remove(entry) && !engines.some((engine) => engine.queue.remove(entry))) this.#undoBatch(entry);
    return true;
  }

  round(nowMs: number, drain = false): ScheduledBatch<R>[] {
    const { engines, options } = this.#state;
    const batches: ScheduledBatch<R>[] = [];
    for (let before = -1; before < batches.length; ) {
      before = batches.length;
      this.#policy.fill();
      for (const engine of engines) {
        if (!engine.hasRoom || engine.filling.empty || !this.#policy.leaves(engine, nowMs, drain)) continue;
        batches.push(engine.leave(options.threshold));
      }
      for (const { requests } of batches.slice(before)) for (const { id } of requests) this.#waiting.delete(id);
    }
    return batches;
  }

  nextLeaveMs(): number {
    const ready = this.#state.engines.filter(({ hasRoom, filling }) => hasRoom && !filling.empty);
    return Math.min(...ready.map((engine) => this.#policy.leaveMs(engine)));
  }

  finished(batch: ScheduledBatch<R>, events?: CacheEvents): void {
    const { table, options } = this.#state;
    const entries = this.#engine(batch.engine).answered(batch);
    if (entries === undefined) return;
    for (const { request, matched } of entries) table.release(batch.engine, request.hashes, matched);
    if (events === undefined) return;
    const { materialised, evicted } = events;
    table.commit(batch.engine, materialised);
    table.evict(batch.engine, evicted);
    for (let i = materialised.length; i > 0 && table.committedBlocks(batch.engine) > options.cacheBlocks; i--) table.evict(batch.engine, materialised.subarray(i - 1, i));
  }

  lost(engine: number): void {
    if (!this.#engine(engine).alive) return;
    this.#state.queue.insert(this.#engine(engine).lose());
    this.#state.table.clear(engine);
  }

  ready(engine: number): void {
    this.#engine(engine).alive = true;
  }

  load(engine: number): EngineLoad {
    const { filling, queue, underWay } = this.#engine(engine);
    const { table } = this.#state;
    return {
      filling: filling.flops,
      fillingRequests: filling.entries.length + queue.length,
      underWay: underWay.size,
      committedBlocks: table.committedBlocks(engine),
      pendingBlocks: table.pendingBlocks(engine),
    };
  }

  #entry(request: R, place: number): Entry<R> {
    if (this.#waiting.has(request.id)) throw new Error(`request ${request.id} is waiting already`);
    const entry = { request, place, matched: 0 };
    this.#waiting.set(request.id, entry);
    return entry;
  }

  /** Takes a request out of a batch that has not left. The others may have counted on its blocks, so they are routed anew. */
  #undoBatch(entry: Entry<R>): void {
    const { engines, table, queue } = this.#state;
    const engine = engines.find(({ filling }) => filling.entries.includes(entry)) as EngineState<R>;
    const entries = engine.filling.take();
    for (const { request, matched } of entries) table.release(engine.index, request.hashes, matched);
    queue.insert(entries.filter((other) => other !== entry));
  }

  #engine(index: number): EngineState<R> {
    const engine = this.#state.engines[index];
    if (engine === undefined) throw new RangeError(`engine ${index}; expected 0 to ${this.#state.engines.length - 1}`);
    return engine;
  }
}

/**
 * A scheduler of the kind asked for.
 * @throws InputError for options that make no sense
 */
export function createScheduler<R extends Routable>(options: SchedulerOptions): Scheduler<R> {
  const { engines } = options;
  if (!Number.isInteger(engines) || engines < 1 || engines > MAX_ENGINES) throw new InputError('scheduler', 'engines', `${engines}; expected 1 to ${MAX_ENGINES}`);
  for (const field of ['threshold', 'batchTokens', 'batchBlocks', 'maxWaitMs', 'cacheBlocks'] as const) {
    if (!(options[field] >= 0)) throw new InputError('scheduler', field, `${options[field]}; expected a number that is not negative`);
  }
  return new RoundScheduler(options);
}
