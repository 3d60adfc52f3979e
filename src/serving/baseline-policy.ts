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
import type { EngineState } from './engine-state.ts';
import type { Entry } from './filling-batch.ts';
import { matchLimit, putIntoBatch, type Policy, type SchedulerState } from './policy.ts';
import type { Routable } from './scheduling.ts';

/** PrefillOnly's lambda, tokens per second (its section 7.1): how much waiting makes up for length, so that long requests do not starve. */
const AGING_TOKENS_PER_SECOND = 500;

export class BaselinePolicy<R extends Routable> implements Policy<R> {
  readonly #state: SchedulerState<R>;
  readonly #matched: Int32Array;

  constructor(state: SchedulerState<R>) {
    this.#state = state;
    this.#matched = new Int32Array(state.engines.length);
  }

  fill(): void {
    const { engines, queue, options: { onRoute } } = this.#state;
    const alive = engines.filter((engine) => engine.alive);
    if (alive.length > 0) {
      for (const entry of queue.takeAll()) {
        const engine = this.#route(entry, alive);
        engine.queue.add(entry);
        onRoute?.(entry.request.id, engine.index, null);
      }
    }
    for (const engine of alive) if (engine.hasRoom && engine.queue.length > 0) this.#form(engine);
  }

  leaves(): boolean {
    return true;
  }

  leaveMs(): number {
    return Infinity;
  }

  #route({ request }: Entry<R>, alive: readonly EngineState<R>[]): EngineState<R> {
    const { kind, seed } = this.#state.options;
    if (kind === 'random') return alive[hashWords(seed, request.id) % alive.length] as EngineState<R>;
    const score = ({ queue, running }: EngineState<R>): number => queue.length * 4 + running;
    return alive.reduce((best, engine) => (score(engine) < score(best) ? engine : best));
  }

  #form(engine: EngineState<R>): void {
    if (this.#state.options.kind === 'shortest-prefill-first') this.#formShortestFirst(engine);
    else while (engine.queue.head !== undefined && this.#take(engine, engine.queue.head)) engine.queue.shift();
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
    table.match(entry.request.hashes, matchLimit(entry.request), 1 << engine.index, this.#matched);
    const matched = this.#matched[engine.index] as number;
    const room = engine.filling.fits(entry.request, matched);
    if (room) putIntoBatch(this.#state, engine, entry, matched);
    return room;
  }
}
