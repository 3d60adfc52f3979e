/**
 * A run of the section's small world: the simulator's own replay (src/sim/serving) of requests through the server's own scheduler (src/serving). What is
 * drawn is what the two tell on the way.
 */
import { BLOCK_TOKENS } from '../../../../src/runtime/kernels/attention.ts';
import { createScheduler } from '../../../../src/serving/scheduler.ts';
import { gathers, type ScheduledBatch, type Scheduler } from '../../../../src/serving/scheduling.ts';
import type { CachePlan } from '../../../../src/sim/serving/engine-cache.ts';
import type { Pass as SimulatedPass } from '../../../../src/sim/serving/engine.ts';
import { replay, type ReplayObserver } from '../../../../src/sim/serving/replay.ts';
import { SimRequest } from '../../../../src/sim/serving/request.ts';
import { withoutRounding } from '../../scenario.ts';
import { arrivalsOf, type Arrival } from './arrivals.ts';
import { KnownBlocks } from './known-blocks.ts';
import type { FrontendRun, Moment, OfPass, Pass } from './moments.ts';
import { FLOPS_PER_SECOND, flopsOf, sceneOf, type FrontendSettings, type Scene } from './scene.ts';

type Batch = ScheduledBatch<SimRequest>;

/** A moment of a batch, of which the rest is known when it has ended. */
interface OfBatch {
  readonly kind: OfPass['kind'];
  readonly ms: number;
  readonly batch: Batch;
}

type Ended = Omit<Pass, 'id' | 'leftMs'>;

type WithoutTime<M> = M extends unknown ? Omit<M, 'ms'> : never;
/** What happens within a round: decisions, and that the next batch of an engine leaves. */
type Decision = WithoutTime<Exclude<Moment, OfPass>> | { readonly kind: 'leaving'; readonly engine: number };

interface Engine {
  readonly known: KnownBlocks;
  /** Left and not ended, the first one computes. */
  readonly batches: Batch[];
  /** Batches under way, as the scheduler said last. */
  underWay: number;
}

/** Writes down what happens. */
class Observer implements ReplayObserver {
  readonly scheduler: Scheduler<SimRequest>;
  readonly #engines: readonly Engine[];
  /** FLOPs of a batch that takes no more. */
  readonly #fullAt: number;
  /** Blocks that counted as cached, by request. */
  readonly #matched: number[] = [];
  readonly #told: (Exclude<Moment, OfPass> | OfBatch)[] = [];
  readonly #ended = new Map<Batch, Ended>();
  #decisions: Decision[] = [];
  #arrived = 0;

  constructor(private readonly arrivals: readonly Arrival[], { schedulerOptions }: Scene) {
    const { kind, engines, threshold } = schedulerOptions;
    this.#engines = Array.from({ length: engines }, () => ({ known: new KnownBlocks(), batches: [], underWay: 0 }));
    this.#fullAt = gathers(kind) ? threshold : Infinity;
    this.scheduler = createScheduler({ ...schedulerOptions, onRoute: (id, engine, matched) => this.#routed(id, engine, matched) });
  }

  round(ms: number, arrived: number, left: readonly Batch[]): void {
    this.#seeWhoLeft();
    const decided = new Set(this.#decisions.map((decision) => ('request' in decision ? decision.request : null)));
    for (const last = this.#arrived + arrived; this.#arrived < last; this.#arrived++) {
      this.#told.push({ kind: 'arrived', ms, request: this.#arrived, waits: !decided.has(this.#arrived) });
    }
    const leaving = [...left];
    for (const decision of this.#decisions) {
      if (decision.kind !== 'leaving') this.#told.push({ ...decision, ms });
      else this.#left(leaving.splice(leaving.findIndex(({ engine }) => engine === decision.engine), 1)[0] as Batch, ms);
    }
    this.#decisions = [];
  }

  ended(pass: SimulatedPass, { cachedTokens, events }: CachePlan): void {
    const { batch, flops, startMs, endMs } = pass;
    const { engine, requests, saturated, lastFlops } = batch;
    const { known, batches } = this.#engine(engine);
    const matched = requests.map(({ id }) => this.#matched[id] as number);
    requests.forEach(({ hashes }, i) => known.release(hashes, matched[i] as number));
    known.commit(events);
    known.evict(events);
    const computeMs = (flops / FLOPS_PER_SECOND) * 1000;
    this.#ended.set(batch, {
      engine, requests, matched, cachedTokens, reckonedFlops: batch.flops, lastFlops, saturated, flops, startMs, endMs, computeMs,
      exposedMs: withoutRounding(endMs - startMs - computeMs, computeMs), events,
    });
    this.#told.push({ kind: 'ended', ms: endMs, batch });
    if (events.evicted.length > 0) this.#told.push({ kind: 'evicted', ms: endMs, batch });
    batches.shift();
    this.#engine(engine).underWay--;
    if (batches[0] !== undefined) this.#told.push({ kind: 'started', ms: endMs, batch: batches[0] });
  }

  /** When all is over. */
  seen(): Pick<FrontendRun, 'moments' | 'passes'> {
    const left = this.#told.flatMap((told) => (told.kind === 'left' ? [told] : []));
    const passes = new Map(left.map(({ batch, ms }, id) => [batch, { id, leftMs: ms, ...this.#ended.get(batch) as Ended }]));
    const moments = this.#told.map((told): Moment => ('batch' in told ? { kind: told.kind, ms: told.ms, pass: passes.get(told.batch) as Pass } : told));
    return { moments, passes: [...passes.values()] };
  }

  #engine(index: number): Engine {
    return this.#engines[index] as Engine;
  }

  #left(batch: Batch, ms: number): void {
    const { batches } = this.#engine(batch.engine);
    this.#told.push({ kind: 'left', ms, batch });
    if (batches.push(batch) === 1) this.#told.push({ kind: 'started', ms, batch });
  }

  /** In a round batches leave between two decisions: the scheduler's loads tell. */
  #seeWhoLeft(): void {
    this.#engines.forEach((engine, index) => {
      const { underWay } = this.scheduler.load(index);
      if (underWay > engine.underWay) this.#decisions.push({ kind: 'leaving', engine: index });
      engine.underWay = underWay;
    });
  }

  #routed(id: number, engine: number, matched: number | null): void {
    this.#seeWhoLeft();
    if (matched === null) {
      this.#decisions.push({ kind: 'queued', request: id, engine });
      return;
    }
    const request = new SimRequest(id, this.arrivals[id] as Arrival, flopsOf);
    const flops = request.flops(matched * BLOCK_TOKENS);
    const matches = this.#engines.map(({ known }) => known.match(request.hashes, request.cacheable));
    const after = this.#engines.map((_, index) => this.scheduler.load(index).filling);
    this.#decisions.push({ kind: 'routed', request: id, engine, matched, flops, matches, loads: after.map((load, index) => (index === engine ? load - flops : load)) });
    this.#matched[id] = matched;
    this.#engine(engine).known.promise(request.hashes, matched);
    const load = after[engine] as number;
    if (load >= this.#fullAt) this.#decisions.push({ kind: 'saturated', engine, flops: load });
  }
}

/** Plays all requests through, until each is answered. */
export function runFrontend(settings: FrontendSettings): FrontendRun {
  const [scene, arrivals] = [sceneOf(settings), arrivalsOf(settings)];
  const { world, schedulerOptions: { cacheBlocks } } = scene;
  const observer = new Observer(arrivals, scene);
  const { answeredMs } = replay({ prompts: arrivals, scheduler: observer.scheduler, world, cacheBlocks, flops: flopsOf, observer });
  return { settings, scene, arrivals, answeredMs, ...observer.seen() };
}
