/** The paper's routing and its baselines written down with sets, lists and sums that are made anew at every question: the oracle. */
import type { EngineLoad, Routable, ScheduledBatch, Scheduler, SchedulerOptions } from '../../src/serving/scheduling.ts';
import { hashWords } from '../../src/sim/random.ts';

interface Waiting {
  readonly request: Routable;
  readonly place: number;
}

interface Taken extends Waiting {
  readonly matched: number;
}

class Engine {
  alive = true;
  full = false;
  committed = new Set<number>();
  filling: Taken[] = [];
  queue: Waiting[] = [];
  underWay: { batch: ScheduledBatch<Routable>; taken: Taken[] }[] = [];
  constructor(readonly index: number) {}

  /** P_i: what requests of the engine will have computed. */
  pending(): Set<number> {
    const all = [...this.underWay.flatMap(({ taken }) => taken), ...this.filling];
    return new Set(all.flatMap(({ request, matched }) => Array.from(request.hashes.subarray(matched))));
  }

  match(request: Routable, known: (hash: number) => boolean): number {
    const leading = request.hashes.slice(0, request.cacheable);
    const miss = leading.findIndex((hash) => !known(hash));
    return miss < 0 ? leading.length : miss;
  }

  matchKnown(request: Routable): number {
    const pending = this.pending();
    return this.match(request, (hash) => this.committed.has(hash) || pending.has(hash));
  }

  flops = (): number => this.filling.reduce((sum, { request, matched }) => sum + request.flops(matched * 16), 0);
  tokens = (taken: readonly Taken[]): number => taken.reduce((sum, { request, matched }) => sum + request.tokens - matched * 16, 0);
  hasRoom = (): boolean => this.alive && this.underWay.length < 2;
  oldest = (): number => Math.min(...this.filling.map(({ request }) => request.arrivedMs));

  blocks(taken: readonly Taken[]): number {
    const known = new Set<number>();
    let blocks = 0;
    for (const { request } of taken) {
      blocks += Math.ceil(request.tokens / 16) - this.match(request, (hash) => known.has(hash));
      for (const hash of request.hashes) known.add(hash);
    }
    return blocks;
  }

  fits(item: Waiting, matched: number, { batchTokens, batchBlocks }: SchedulerOptions): boolean {
    const taken = [...this.filling, { ...item, matched }];
    return this.filling.length === 0 || (this.tokens(taken) <= batchTokens && this.blocks(taken) <= batchBlocks);
  }
}

export class ReferenceScheduler implements Scheduler<Routable> {
  readonly #options: SchedulerOptions;
  readonly #engines: Engine[];
  #queue: Waiting[] = [];
  #places = 0;
  #backPlaces = 0;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#engines = Array.from({ length: options.engines }, (_, index) => new Engine(index));
  }

  get waiting(): number {
    return this.#engines.reduce((sum, { filling, queue }) => sum + filling.length + queue.length, this.#queue.length);
  }

  add(request: Routable): void {
    this.#enqueue([{ request, place: ++this.#places }]);
  }

  putBack(requests: readonly Routable[]): void {
    this.#backPlaces -= requests.length;
    this.#enqueue(requests.map((request, i) => ({ request, place: this.#backPlaces + i })));
  }

  withdraw(id: number): boolean {
    const before = this.waiting;
    const others = ({ request }: Waiting): boolean => request.id !== id;
    this.#queue = this.#queue.filter(others);
    for (const engine of this.#engines) {
      engine.queue = engine.queue.filter(others);
      if (engine.filling.every(others)) continue;
      this.#enqueue(engine.filling.filter(others));
      engine.filling = [];
      engine.full = false;
    }
    return this.waiting < before;
  }

  round(nowMs: number, drain = false): ScheduledBatch<Routable>[] {
    const batches: ScheduledBatch<Routable>[] = [];
    for (;;) {
      if (this.#options.kind === 'prefix') while (this.#routeHead() !== undefined);
      else if (this.#options.kind === 'grouped') this.#routeGrouped();
      else this.#routeAndForm();
      const leaving = this.#engines.filter((engine) => engine.filling.length > 0 && engine.hasRoom() && this.#leaves(engine, nowMs, drain));
      if (leaving.length === 0) return batches;
      batches.push(...leaving.map((engine) => this.#leave(engine)));
    }
  }

  nextLeaveMs(): number {
    if (!this.#gathers()) return Infinity;
    const ready = this.#engines.filter((engine) => engine.filling.length > 0 && engine.hasRoom());
    return Math.min(...ready.map((engine) => engine.oldest() + this.#options.maxWaitMs));
  }

  finished(batch: ScheduledBatch<Routable>, events?: { readonly materialised: Float64Array; readonly evicted: Float64Array }): void {
    const engine = this.#engines[batch.engine] as Engine;
    if (!engine.underWay.some((other) => other.batch === batch)) return;
    engine.underWay = engine.underWay.filter((other) => other.batch !== batch);
    for (const hash of events?.materialised ?? []) engine.committed.add(hash);
    for (const hash of events?.evicted ?? []) engine.committed.delete(hash);
  }

  lost(index: number): void {
    const engine = this.#engines[index] as Engine;
    if (!engine.alive) return;
    const back = [...engine.filling, ...engine.queue];
    this.#engines[index] = Object.assign(new Engine(index), { alive: false });
    this.#enqueue(back);
  }

  ready(index: number): void {
    (this.#engines[index] as Engine).alive = true;
  }

  load(index: number): EngineLoad {
    const engine = this.#engines[index] as Engine;
    return {
      filling: engine.flops(),
      fillingRequests: engine.filling.length + engine.queue.length,
      underWay: engine.underWay.length,
      committedBlocks: engine.committed.size,
      pendingBlocks: engine.pending().size,
    };
  }

  #enqueue(items: readonly Waiting[]): void {
    this.#queue = [...this.#queue, ...items.map(({ request, place }) => ({ request, place }))].sort((a, b) => a.place - b.place);
  }

  #gathers = (): boolean => ['prefix', 'grouped'].includes(this.#options.kind);

  #takesHeads = (engine: Engine): boolean => engine.alive && !this.#isClosed(engine) && engine.queue.length === 0;

  #isClosed = (engine: Engine): boolean => engine.full || (this.#options.threshold > 0 && engine.flops() >= this.#options.threshold);

  #leaves(engine: Engine, nowMs: number, drain: boolean): boolean {
    const { threshold, maxWaitMs } = this.#options;
    if (!this.#gathers() || drain || this.#isClosed(engine)) return true;
    return nowMs >= engine.oldest() + maxWaitMs || (threshold === 0 && engine.underWay.length === 0);
  }

  #leave(engine: Engine): ScheduledBatch<Routable> {
    const flops = engine.flops();
    const taken = engine.filling;
    const last = taken.at(-1) as Taken;
    const batch = {
      engine: engine.index, requests: taken.map(({ request }) => request), flops, tokens: engine.tokens(taken),
      lastFlops: last.request.flops(last.matched * 16), saturated: flops >= this.#options.threshold,
    };
    engine.underWay.push({ batch, taken });
    engine.filling = [];
    engine.full = false;
    return batch;
  }

  #routeHead(): Engine | undefined {
    const item = this.#queue[0];
    if (item === undefined) return undefined;
    const ranked = this.#engines
      .filter((engine) => this.#takesHeads(engine))
      .map((engine) => ({ engine, matched: engine.matchKnown(item.request), load: engine.flops() }))
      .sort((a, b) => b.matched - a.matched || a.load - b.load || a.engine.underWay.length - b.engine.underWay.length || a.engine.index - b.engine.index);
    const taker = ranked.findIndex(({ engine, matched }) => engine.fits(item, matched, this.#options));
    if (taker < 0) {
      const leavesAnyway = this.#engines.some((engine) => engine.hasRoom() && this.#isClosed(engine));
      const first = ranked.find(({ engine }) => engine.hasRoom());
      if (!leavesAnyway && first !== undefined) first.engine.full = true;
      return undefined;
    }
    for (const { engine } of ranked.slice(0, taker)) engine.full = true;
    const { engine, matched } = ranked[taker] as (typeof ranked)[number];
    engine.filling.push({ ...item, matched });
    this.#queue.shift();
    return engine;
  }

  #routeGrouped(): void {
    for (;;) {
      for (const engine of this.#engines) while (engine.hasRoom() && this.#takeClaimed(engine));
      if (this.#queue.length === 0 && this.#engines.some((engine) => this.#takesHeads(engine) && engine.underWay.length === 0)) {
        this.#enqueue(this.#engines.flatMap(({ queue }) => queue));
        for (const engine of this.#engines) engine.queue = [];
      }
      const head = this.#queue[0]?.request;
      const engine = this.#routeHead();
      if (head === undefined || engine === undefined) return;
      engine.queue = this.#siblings(head).sort((a, b) => a.place - b.place);
      this.#queue = this.#queue.filter((item) => !engine.queue.includes(item));
    }
  }

  #takeClaimed(engine: Engine): boolean {
    const item = engine.queue[0];
    if (item === undefined || this.#isClosed(engine)) return false;
    const matched = engine.matchKnown(item.request);
    engine.full = !engine.fits(item, matched, this.#options);
    if (!engine.full) engine.filling.push({ ...(engine.queue.shift() as Waiting), matched });
    return !engine.full;
  }

  /** Those that a head's engine claims: one after the other who has most in common with the last, until 8 batches' worth are claimed. */
  #siblings(head: Routable): Waiting[] {
    const { threshold, batchTokens } = this.#options;
    const claimed: { item: Waiting; depth: number }[] = [];
    for (let last = head; ; last = (claimed.at(-1) as { item: Waiting }).item.request) {
      const flops = claimed.reduce((sum, { item, depth }) => sum + item.request.flops(depth * 16), 0);
      const tokens = claimed.reduce((sum, { item, depth }) => sum + item.request.tokens - depth * 16, 0);
      const enough = (threshold > 0 && flops >= 8 * threshold) || tokens >= 8 * batchTokens;
      const others = this.#queue.filter((item) => !claimed.some((other) => other.item === item));
      const [best] = others
        .map((item) => ({ item, depth: commonDepth(last, item.request) }))
        .filter(({ item: { request }, depth }) => depth > 0 && request.flops(0) - request.flops(depth * 16) >= request.flops(0) / 8)
        .sort((a, b) => b.depth - a.depth || a.item.place - b.item.place);
      if (enough || best === undefined) return claimed.map(({ item }) => item);
      claimed.push(best);
    }
  }

  #routeAndForm(): void {
    const { kind, seed } = this.#options;
    const alive = this.#engines.filter((engine) => engine.alive);
    if (alive.length === 0) return;
    for (const item of this.#queue) {
      const score = (engine: Engine): number => engine.queue.length * 4 + engine.underWay.reduce((sum, { taken }) => sum + taken.length, 0);
      const best = kind === 'random' ? alive[hashWords(seed, item.request.id) % alive.length] : [...alive].sort((a, b) => score(a) - score(b) || a.index - b.index)[0];
      best?.queue.push(item);
    }
    this.#queue = [];
    for (const engine of alive) if (engine.hasRoom()) this.#form(engine);
  }

  #form(engine: Engine): void {
    const uncached = ({ request }: Waiting): number => request.tokens - 16 * engine.match(request, (hash) => engine.committed.has(hash));
    const score = (item: Waiting): number => (this.#options.kind === 'shortest-prefill-first' ? uncached(item) + item.request.arrivedMs * 0.5 : 0);
    for (const item of [...engine.queue].sort((a, b) => score(a) - score(b) || a.place - b.place)) {
      const matched = engine.matchKnown(item.request);
      if (!engine.fits(item, matched, this.#options)) return;
      engine.filling.push({ ...item, matched });
      engine.queue = engine.queue.filter((other) => other !== item);
    }
  }
}

/** Leading blocks that two prompts have in common and that may be cached, rounded down to a power of two; 0 for none. */
export function commonDepth(one: Routable, other: Routable): number {
  const most = Math.min(one.cacheable, other.cacheable);
  let common = 0;
  while (common < most && one.hashes[common] === other.hashes[common]) common++;
  return common === 0 ? 0 : 2 ** Math.floor(Math.log2(common));
}
