/** What the drawing shows: a run up to one of its moments. Pure. */
import { BLOCK_TOKENS } from '../../../../src/runtime/kernels/attention.ts';
import { prefixOfBlock, type Arrival } from './arrivals.ts';
import { CANDIDATES } from '../../../../src/sim/serving/request.ts';
import { KnownBlocks } from './known-blocks.ts';
import type { FrontendRun, Moment, Pass } from './moments.ts';
import { flopsOf, PREFIX_TOKENS } from './scene.ts';

/** A request's part of a batch, FLOPs. */
export interface Layer {
  readonly request: number;
  readonly prefix: number;
  /** Of the part of the prefix that was not cached. */
  readonly prefixFlops: number;
  readonly suffixFlops: number;
}

/** Blocks of an engine's cache that are of one prefix, or (null) of single requests. */
export interface CachePart {
  readonly prefix: number | null;
  readonly committed: number;
  /** Promised, and not committed. */
  readonly pending: number;
}

export interface EngineView {
  /** Requests that wait in its own queue: of the baselines. */
  readonly queue: readonly number[];
  /** The batch that it gathers. */
  readonly filling: readonly Layer[];
  /** Has left and waits for the engine. */
  readonly next: Pass | null;
  readonly computing: Pass | null;
  readonly cache: readonly CachePart[];
}

export interface View {
  /** Requests without an engine, first come first. */
  readonly queue: readonly number[];
  readonly engines: readonly EngineView[];
  /** That have left so far. */
  readonly passes: readonly Pass[];
  readonly arrived: number;
  readonly answered: number;
}

/** A request's FLOPs when so many leading tokens are cached, split into those of the prefix and the rest. */
export function layerOf({ arrivals }: FrontendRun, request: number, cachedTokens: number): Layer {
  const { prefix, tokens } = arrivals[request] as Arrival;
  const whole = flopsOf({ newTokens: tokens - cachedTokens, cachedTokens, candidates: CANDIDATES });
  const prefixFlops = cachedTokens >= PREFIX_TOKENS ? 0 : flopsOf({ newTokens: PREFIX_TOKENS - cachedTokens, cachedTokens });
  return { request, prefix, prefixFlops, suffixFlops: whole - prefixFlops };
}

/** Layers of a batch that left, with what was cached indeed. */
export const layersOf = (run: FrontendRun, { requests, cachedTokens }: Pass): Layer[] =>
  requests.map(({ id }, i) => layerOf(run, id, cachedTokens[i] as number));

class Engine {
  readonly queue = new Set<number>();
  filling: Layer[] = [];
  next: Pass | null = null;
  computing: Pass | null = null;
  readonly known = new KnownBlocks();

  view(): EngineView {
    return { queue: [...this.queue], filling: this.filling, next: this.next, computing: this.computing, cache: cacheParts(this.known) };
  }
}

/** Parts by prefix, single requests' last; those of no block are left out. */
function cacheParts({ committed, pending }: KnownBlocks): CachePart[] {
  const parts = new Map<number | null, { committed: number; pending: number }>();
  const count = (hash: number, what: 'committed' | 'pending'): void => {
    const prefix = prefixOfBlock(hash);
    const part = parts.get(prefix) ?? { committed: 0, pending: 0 };
    part[what]++;
    parts.set(prefix, part);
  };
  for (const hash of committed) count(hash, 'committed');
  for (const hash of pending.keys()) if (!committed.has(hash)) count(hash, 'pending');
  return [...parts].map(([prefix, part]) => ({ prefix, ...part })).sort((a, b) => (a.prefix ?? Infinity) - (b.prefix ?? Infinity));
}

class Replay {
  readonly queue = new Set<number>();
  readonly engines: readonly Engine[];
  readonly passes: Pass[] = [];
  arrived = 0;
  answered = 0;

  constructor(private readonly run: FrontendRun) {
    this.engines = Array.from({ length: run.settings.engines }, () => new Engine());
  }

  apply(moment: Moment): void {
    switch (moment.kind) {
      case 'arrived': this.arrived++; this.queue.add(moment.request); return;
      case 'queued': this.queue.delete(moment.request); this.#engine(moment.engine).queue.add(moment.request); return;
      case 'routed': this.#route(moment.request, this.#engine(moment.engine), moment.matched); return;
      case 'saturated': case 'evicted': return;
      case 'left': this.#leave(moment.pass); return;
      case 'started': this.#start(moment.pass); return;
      case 'ended': this.#end(moment.pass); return;
      default: moment satisfies never;
    }
  }

  #engine(index: number): Engine {
    return this.engines[index] as Engine;
  }

  #route(request: number, engine: Engine, matched: number): void {
    this.queue.delete(request);
    engine.queue.delete(request);
    engine.filling.push(layerOf(this.run, request, matched * BLOCK_TOKENS));
    engine.known.promise((this.run.arrivals[request] as Arrival).hashes, matched);
  }

  #leave(pass: Pass): void {
    const engine = this.#engine(pass.engine);
    engine.filling = [];
    engine.next = pass;
    this.passes.push(pass);
  }

  #start(pass: Pass): void {
    const engine = this.#engine(pass.engine);
    engine.next = null;
    engine.computing = pass;
  }

  #end(pass: Pass): void {
    const engine = this.#engine(pass.engine);
    engine.computing = null;
    this.answered += pass.requests.length;
    pass.requests.forEach(({ hashes }, i) => engine.known.release(hashes, pass.matched[i] as number));
    engine.known.commit(pass.events);
    engine.known.evict(pass.events);
  }
}

/** The view after moments [0, count). */
export function viewAfter(run: FrontendRun, count: number): View {
  const replay = new Replay(run);
  for (const moment of run.moments.slice(0, count)) replay.apply(moment);
  const { queue, engines, passes, arrived, answered } = replay;
  return { queue: [...queue], engines: engines.map((engine) => engine.view()), passes, arrived, answered };
}

/** Full blocks of a request. */
export const blocksOf = ({ arrivals }: FrontendRun, request: number): number => (arrivals[request] as Arrival).hashes.length;
