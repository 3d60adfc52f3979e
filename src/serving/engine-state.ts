import { FillingBatch, type BatchLimits, type Entry } from './filling-batch.ts';
import { RequestQueue } from './request-queue.ts';
import type { Routable, ScheduledBatch } from './scheduling.ts';

/** Batches of an engine that are under way at most: while one computes, the next is recorded. */
export const DEPTH = 2;

/** One engine as the scheduler sees it. */
export class EngineState<R extends Routable> {
  readonly index: number;
  readonly filling: FillingBatch<R>;
  /** Requests that are its own and in no batch yet: what was routed to it, of the baselines, whose engines queue without bound; what it claimed, of `grouped`. */
  readonly queue = new RequestQueue<Entry<R>>();
  readonly underWay = new Map<ScheduledBatch<R>, readonly Entry<R>[]>();
  /** Requests of batches under way. */
  running = 0;
  alive = true;

  constructor(index: number, limits: BatchLimits) {
    this.index = index;
    this.filling = new FillingBatch(limits);
  }

  get hasRoom(): boolean {
    return this.alive && this.underWay.size < DEPTH;
  }

  /** Sends the filling batch on its way. */
  leave(threshold: number): ScheduledBatch<R> {
    const { flops, lastFlops, tokens } = this.filling;
    const entries = this.filling.take();
    const batch = { engine: this.index, requests: entries.map(({ request }) => request), flops, tokens, lastFlops, saturated: flops >= threshold };
    this.underWay.set(batch, entries);
    this.running += entries.length;
    return batch;
  }

  /** @returns the batch's requests; undefined when it is not under way (the engine was lost since) */
  answered(batch: ScheduledBatch<R>): readonly Entry<R>[] | undefined {
    const entries = this.underWay.get(batch);
    if (entries === undefined) return undefined;
    this.underWay.delete(batch);
    this.running -= entries.length;
    return entries;
  }

  /** Forgets what was under way. @returns what has not left */
  lose(): Entry<R>[] {
    this.alive = false;
    this.underWay.clear();
    this.running = 0;
    return [...this.filling.take(), ...this.queue.takeAll()];
  }
}
