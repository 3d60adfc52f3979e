/**
 * A run of the section's small world: requests through the server's own scheduler (src/serving) onto simulated engines whose prefix caches are the
 * engine's own index (src/sim/serving/engine-cache.ts). Events of one moment have the simulator's order: passes end, requests arrive, the scheduler has a
 * round, batches that leave begin.
 */
import { BLOCK_TOKENS } from '../../../../src/runtime/kernels/attention.ts';
import { createScheduler } from '../../../../src/serving/scheduler.ts';
import { gathers, type ScheduledBatch, type Scheduler } from '../../../../src/serving/scheduling.ts';
import { EngineCache } from '../../../../src/sim/serving/engine-cache.ts';
import { SimRequest } from '../../../../src/sim/serving/request.ts';
import { arrivalsOf, type Arrival } from './arrivals.ts';
import { KnownBlocks } from './known-blocks.ts';
import type { FrontendRun, Moment, Pass } from './moments.ts';
import { flopsOf, passTime, sceneOf, type FrontendSettings, type PassTime, type Scene } from './scene.ts';

/** Time of a pass of so many FLOPs. */
export type TimeOf = (flops: number, scene: Scene) => PassTime;

interface Engine {
  readonly cache: EngineCache;
  readonly known: KnownBlocks;
  /** Left and not ended, the first one computes. */
  readonly passes: Pass[];
  freeMs: number;
  /** Batches under way, as the scheduler said last. */
  underWay: number;
}

/** What a round decided: a moment, or that the next batch of an engine left. */
type Decision = Moment | { readonly kind: 'leaving'; readonly engine: number };

class Driver {
  readonly moments: Moment[] = [];
  readonly passes: Pass[] = [];
  readonly answeredMs: Float64Array;
  readonly #scheduler: Scheduler<SimRequest>;
  readonly #requests: readonly SimRequest[];
  readonly #engines: readonly Engine[];
  /** Blocks that counted as cached, by request. */
  readonly #matched: number[] = [];
  readonly #batches = new Map<Pass, ScheduledBatch<SimRequest>>();
  #decisions: Decision[] = [];
  #arrived = 0;
  #nowMs = 0;

  constructor(readonly arrivals: readonly Arrival[], readonly scene: Scene, private readonly timeOf: TimeOf) {
    const { schedulerOptions } = scene;
    this.answeredMs = new Float64Array(arrivals.length).fill(NaN);
    this.#requests = arrivals.map((arrival, id) => new SimRequest(id, arrival, flopsOf));
    this.#engines = Array.from({ length: schedulerOptions.engines }, () =>
      ({ cache: new EngineCache(schedulerOptions.cacheBlocks), known: new KnownBlocks(), passes: [], freeMs: 0, underWay: 0 }));
    this.#scheduler = createScheduler({ ...schedulerOptions, onRoute: (id, engine, matched) => void this.#routed(id, engine, matched) });
  }

  run(): void {
    for (;;) {
      for (const engine of this.#engines) this.#finish(engine);
      this.#round(this.#arrive());
      const next = this.#nextMs();
      if (next === Infinity) return;
      this.#nowMs = Math.max(this.#nowMs, next);
    }
  }

  #nextMs(): number {
    const ends = this.#engines.map(({ passes }) => passes[0]?.endMs ?? Infinity);
    return Math.min(this.arrivals[this.#arrived]?.arrivalMs ?? Infinity, this.#scheduler.nextLeaveMs(), ...ends);
  }

  #finish(engine: Engine): void {
    const { passes, known } = engine;
    for (let pass = passes[0]; pass !== undefined && pass.endMs <= this.#nowMs; pass = passes[0]) {
      passes.shift();
      this.#scheduler.finished(this.#batches.get(pass) as ScheduledBatch<SimRequest>, pass.events);
      engine.underWay--;
      pass.requests.forEach(({ id, hashes }, i) => {
        this.answeredMs[id] = this.#nowMs;
        known.release(hashes, pass.matched[i] as number);
      });
      known.commit(pass.events);
      known.evict(pass.events);
      this.#tell({ kind: 'ended', ms: pass.endMs, pass });
      if (pass.events.evicted.length > 0) this.#tell({ kind: 'evicted', ms: pass.endMs, pass });
      if (passes[0] !== undefined) this.#tell({ kind: 'started', ms: pass.endMs, pass: passes[0] });
    }
  }

  #arrive(): readonly number[] {
    const first = this.#arrived;
    while ((this.arrivals[this.#arrived]?.arrivalMs ?? Infinity) <= this.#nowMs) this.#scheduler.add(this.#requests[this.#arrived++] as SimRequest);
    return Array.from({ length: this.#arrived - first }, (_, i) => first + i);
  }

  #round(arrived: readonly number[]): void {
    const batches = this.#scheduler.round(this.#nowMs, this.#arrived === this.arrivals.length);
    this.#seeWhoLeft();
    const passes = batches.map((batch) => this.#submit(batch));
    const decided = new Set(this.#decisions.map((decision) => ('request' in decision ? decision.request : null)));
    for (const request of arrived) this.#tell({ kind: 'arrived', ms: this.#nowMs, request, waits: !decided.has(request) });
    for (const decision of this.#decisions) {
      if (decision.kind !== 'leaving') {
        this.#tell(decision);
        continue;
      }
      const pass = passes.splice(passes.findIndex(({ engine }) => engine === decision.engine), 1)[0] as Pass;
      this.#tell({ kind: 'left', ms: this.#nowMs, pass });
      if (pass.startMs === this.#nowMs) this.#tell({ kind: 'started', ms: this.#nowMs, pass });
    }
    this.#decisions = [];
  }

  /** In a round batches leave between two decisions: the scheduler's loads tell. */
  #seeWhoLeft(): void {
    this.#engines.forEach((engine, index) => {
      const { underWay } = this.#scheduler.load(index);
      if (underWay > engine.underWay) this.#decisions.push({ kind: 'leaving', engine: index });
      engine.underWay = underWay;
    });
  }

  #routed(id: number, engine: number, matched: number | null): void {
    this.#seeWhoLeft();
    const request = this.#requests[id] as SimRequest;
    const ms = this.#nowMs;
    if (matched === null) {
      this.#decisions.push({ kind: 'queued', ms, request: id, engine });
      return;
    }
    const flops = request.flops(matched * BLOCK_TOKENS);
    const matches = this.#engines.map(({ known }) => known.match(request.hashes, request.cacheable));
    const after = this.#engines.map((_, index) => this.#scheduler.load(index).filling);
    this.#decisions.push({ kind: 'routed', ms, request: id, engine, matched, flops, matches, loads: after.map((load, index) => (index === engine ? load - flops : load)) });
    this.#matched[id] = matched;
    (this.#engines[engine] as Engine).known.promise(request.hashes, matched);
    const { kind, threshold } = this.scene.schedulerOptions;
    const load = after[engine] as number;
    if (gathers(kind) && load >= threshold) this.#decisions.push({ kind: 'saturated', ms, engine, flops: load });
  }

  #submit(batch: ScheduledBatch<SimRequest>): Pass {
    const { requests, lastFlops, saturated } = batch;
    const engine = this.#engines[batch.engine] as Engine;
    const { cachedTokens, events } = engine.cache.plan(requests);
    const flops = requests.reduce((sum, request, i) => sum + request.flops(cachedTokens[i] as number), 0);
    const { computeMs, serviceMs } = this.timeOf(flops, this.scene);
    const startMs = Math.max(this.#nowMs, engine.freeMs);
    engine.freeMs = startMs + serviceMs;
    const pass: Pass = {
      id: this.passes.length, engine: batch.engine, requests, matched: requests.map(({ id }) => this.#matched[id] as number), cachedTokens, reckonedFlops: batch.flops, lastFlops, saturated,
      flops, leftMs: this.#nowMs, startMs, endMs: engine.freeMs, computeMs, exposedMs: serviceMs - computeMs, events,
    };
    this.#batches.set(pass, batch);
    this.passes.push(pass);
    engine.passes.push(pass);
    return pass;
  }

  #tell(moment: Moment): void {
    this.moments.push(moment);
  }
}

/**
 * Plays all requests through, until each is answered.
 * @param timeOf how long an engine takes for a batch
 */
export function runFrontend(settings: FrontendSettings, timeOf: TimeOf = passTime): FrontendRun {
  const [scene, arrivals] = [sceneOf(settings), arrivalsOf(settings)];
  const driver = new Driver(arrivals, scene, timeOf);
  driver.run();
  const { moments, passes, answeredMs } = driver;
  return { settings, scene, arrivals, moments, passes, answeredMs };
}
