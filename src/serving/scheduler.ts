import type { CacheEvents } from '../engine/prefix/cache-events.ts';
import { InputError } from '../errors.ts';
import { BaselinePolicy } from './baseline-policy.ts';
import { EngineState } from './engine-state.ts';
import type { Entry } from './filling-batch.ts';
import { GroupedPolicy } from './grouped-policy.ts';
import { MASK_ENGINES, MaskTable } from './mask-table.ts';
import type { Policy, SchedulerState } from './policy.ts';
import { PrefixPolicy } from './prefix-policy.ts';
import { RequestQueue } from './request-queue.ts';
import { MAX_ENGINES, type EngineLoad, type Routable, type ScheduledBatch, type Scheduler, type SchedulerOptions } from './scheduling.ts';
import { WideTable } from './wide-table.ts';

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
    const { engines, cacheBlocks } = options;
    const Table = engines <= MASK_ENGINES ? MaskTable : WideTable;
    this.#state = {
      options,
      engines: Array.from({ length: engines }, (_, index) => new EngineState<R>(index, options)),
      table: new Table(engines, engines * cacheBlocks),
      queue: new RequestQueue(),
    };
    this.#policy = policyOf(this.#state);
    for (const engine of this.#state.engines) this.#policy.changed(engine);
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
    if (queue.remove(entry)) return true;
    const engine = engines.find((other) => other.queue.remove(entry)) ?? this.#undoBatch(entry);
    this.#policy.changed(engine);
    return true;
  }

  round(nowMs: number, drain = false): ScheduledBatch<R>[] {
    const batches: ScheduledBatch<R>[] = [];
    for (let before = -1; before < batches.length; ) {
      before = batches.length;
      this.#policy.fill();
      for (const engine of this.#policy.leaving(nowMs, drain)) {
        const batch = engine.leave(this.#state.options.threshold);
        for (const { id } of batch.requests) this.#waiting.delete(id);
        this.#policy.changed(engine);
        batches.push(batch);
      }
    }
    return batches;
  }

  nextLeaveMs(): number {
    return this.#policy.nextLeaveMs();
  }

  finished(batch: ScheduledBatch<R>, events?: CacheEvents): void {
    const { table, options } = this.#state;
    const engine = this.#engine(batch.engine);
    const entries = engine.answered(batch);
    if (entries === undefined) return;
    // What came is mostly what was promised: its place in the table stays when it is committed first.
    if (events !== undefined) {
      const { materialised, evicted } = events;
      table.commit(batch.engine, materialised);
      table.evict(batch.engine, evicted);
      for (let i = materialised.length; i > 0 && table.committedBlocks(batch.engine) > options.cacheBlocks; i--) table.evict(batch.engine, materialised.subarray(i - 1, i));
    }
    for (const { request, matched } of entries) table.release(batch.engine, request.hashes, matched);
    this.#policy.changed(engine);
  }

  lost(index: number): void {
    const engine = this.#engine(index);
    if (!engine.alive) return;
    this.#state.queue.insert(engine.lose());
    this.#state.table.clear(index);
    this.#policy.changed(engine);
  }

  ready(index: number): void {
    const engine = this.#engine(index);
    engine.alive = true;
    this.#policy.changed(engine);
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

  /** Takes a request out of a batch that has not left. The others may have counted on its blocks, so they are routed anew. @returns whose batch it was */
  #undoBatch(entry: Entry<R>): EngineState<R> {
    const { engines, table, queue } = this.#state;
    const engine = engines.find(({ filling }) => filling.entries.includes(entry)) as EngineState<R>;
    const entries = engine.filling.take();
    for (const { request, matched } of entries) table.release(engine.index, request.hashes, matched);
    queue.insert(entries.filter((other) => other !== entry));
    return engine;
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
