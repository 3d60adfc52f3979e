/**
 * The paper's baselines. A request is routed when it comes and stays with its engine, whose queue has no bound; an engine forms a batch as soon as it has
 * room, of what waits there, up to the memory's limits. Nothing is held back to fill a batch: they know no T. Prefixes are cached by the engines
 * all the same, only the routing does not look.
 *
 * - `least-loaded`: vLLM's data-parallel balancer (v0.11, `DPLBAsyncMPClient.get_core_engine_for_request`): the smallest waiting * 4 + running
 *   requests, the lowest index among equals. Within an engine first come, first served.
 * - `shortest-prefill-first`: PrefillOnly's scheduler (arXiv 2505.07203, section 6.3, algorithm 1) in each engine, routed as above: the smallest
 *   n_input - n_cached - lambda T_queue first, n_cached by the engine's resident blocks at the time of each batch ("continuous calibration"). PrefillOnly
 *   runs one request at a time; here they are batched, as in the MoE-Prefill paper's comparison with matched batch sizes (section 8.1).
 * - `random`: any engine; a request's id and the seed decide.
 */
import { hashWords } from '../sim/random.ts';
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';
import { EngineOrder } from './engine-order.ts';
import { EngineSet } from './engine-set.ts';
import type { EngineState } from './engine-state.ts';
import type { Entry } from './filling-batch.ts';
import { matchLimit, putIntoBatch, type Policy, type SchedulerState } from './policy.ts';
import type { Routable } from './scheduling.ts';

/** PrefillOnly's lambda, tokens per second (its section 7.1): how much waiting makes up for length, so that long requests do not starve. */
const AGING_TOKENS_PER_SECOND = 500;

export class BaselinePolicy<R extends Routable> implements Policy<R> {
  readonly #state: SchedulerState<R>;
  readonly #alive: EngineSet;
  /** The same as a list; undefined when it has to be made anew. */
  #aliveList: EngineState<R>[] | undefined;
  /** Those that are alive, by waiting * 4 + running. */
  readonly #byRequests: EngineOrder;
  /** Those with room and a queue to form a batch of. */
  readonly #forming: EngineSet;
  /** Those with room and a batch. */
  readonly #ready: EngineSet;

  constructor(state: SchedulerState<R>) {
    const engines = state.engines.length;
    this.#state = state;
    [this.#alive, this.#forming, this.#ready] = [new EngineSet(engines), new EngineSet(engines), new EngineSet(engines)];
    this.#byRequests = new EngineOrder(engines);
  }

  fill(): void {
    const { engines, queue, options: { onRoute } } = this.#state;
    if (!this.#alive.empty) {
      for (const entry of queue.takeAll()) {
        const engine = this.#route(entry);
        engine.queue.add(entry);
        this.changed(engine);
        onRoute?.(entry.request.id, engine.index, null);
      }
    }
    for (let engine = this.#forming.next(0); engine >= 0; engine = this.#forming.next(engine + 1)) this.#form(engines[engine] as EngineState<R>);
  }

  leaving(): EngineState<R>[] {
    return this.#ready.members().map((engine) => this.#state.engines[engine] as EngineState<R>);
  }

  nextLeaveMs(): number {
    return Infinity;
  }

  changed({ index, alive, hasRoom, queue, filling, running }: EngineState<R>): void {
    if (alive !== this.#alive.has(index)) this.#aliveList = undefined;
    this.#alive.set(index, alive);
    if (alive) this.#byRequests.set(index, queue.length * 4 + running);
    else this.#byRequests.delete(index);
    this.#forming.set(index, hasRoom && queue.length > 0);
    this.#ready.set(index, hasRoom && !filling.empty);
  }

  #route({ request }: Entry<R>): EngineState<R> {
    const { engines, options: { kind, seed } } = this.#state;
    if (kind !== 'random') return engines[this.#byRequests.best] as EngineState<R>;
    const alive = (this.#aliveList ??= engines.filter((engine) => engine.alive));
    return alive[hashWords(seed, request.id) % alive.length] as EngineState<R>;
  }

  #form(engine: EngineState<R>): void {
    if (this.#state.options.kind === 'shortest-prefill-first') this.#formShortestFirst(engine);
    else while (engine.queue.head !== undefined && this.#take(engine, engine.queue.head)) engine.queue.shift();
    this.changed(engine);
  }

  #formShortestFirst(engine: EngineState<R>): void {
    const scored = engine.queue.takeAll().map((entry) => ({ entry, score: this.#score(engine.index, entry.request) }));
    const sorted = scored.sort((a, b) => a.score - b.score || a.entry.place - b.entry.place).map(({ entry }) => entry);
    const refused = sorted.findIndex((entry) => !this.#take(engine, entry));
    if (refused >= 0) engine.queue.insert(sorted.slice(refused));
  }

  /** Algorithm 1's, but for a term that is the same for all: now. */
  #score(engine: number, request: R): number {
    const cached = this.#state.table.matchCommitted(request.hashes, matchLimit(request), engine) * BLOCK_TOKENS;
    return request.tokens - cached + (AGING_TOKENS_PER_SECOND * request.arrivedMs) / 1000;
  }

  /** Puts a request into the engine's batch. @returns whether there was room */
  #take(engine: EngineState<R>, entry: Entry<R>): boolean {
    const { table } = this.#state;
    const matched = table.match(entry.request.hashes, matchLimit(entry.request), engine.index);
    const room = engine.filling.fits(entry.request, matched);
    if (room) putIntoBatch(this.#state, engine, entry, matched);
    return room;
  }
}
