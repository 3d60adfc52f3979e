import type { EngineState } from './engine-state.ts';
import type { Entry } from './filling-batch.ts';
import type { PrefixTable } from './prefix-table.ts';
import type { RequestQueue } from './request-queue.ts';
import type { Routable, SchedulerOptions } from './scheduling.ts';

/** What the policies work on. */
export interface SchedulerState<R extends Routable> {
  readonly options: SchedulerOptions;
  readonly engines: readonly EngineState<R>[];
  readonly table: PrefixTable;
  /** Requests that no engine has, first come first served. */
  readonly queue: RequestQueue<Entry<R>>;
}

/** How requests come from the queue into the engines' batches, and when these leave. */
export interface Policy<R extends Routable> {
  /** Gives engines what waits, as far as they take it. */
  fill(): void;
  /** Engines with room whose batch, which is not empty, leaves now; in order. */
  leaving(nowMs: number, drain: boolean): EngineState<R>[];
  /** When the first of those with room leaves if nothing else happens; Infinity when none does. */
  nextLeaveMs(): number;
  /** To be told of every engine that was changed by others: its batch, its queue, its batches under way, or whether it is alive. */
  changed(engine: EngineState<R>): void;
}

/** Leading blocks of a prompt that may match. */
export const matchLimit = ({ cacheable, hashes }: Routable): number => Math.min(cacheable, hashes.length);

/** Puts a request into an engine's batch; what it has to compute is promised to the requests after it. */
export function putIntoBatch<R extends Routable>({ table, options }: SchedulerState<R>, engine: EngineState<R>, entry: Entry<R>, matched: number): void {
  engine.filling.add(entry, matched);
  table.promise(engine.index, entry.request.hashes, matched);
  options.onRoute?.(entry.request.id, engine.index, matched);
}
