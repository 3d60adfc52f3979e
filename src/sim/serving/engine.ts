/** A simulated engine: its prefix cache, and the batches that it has under way in its world. */
import { NO_CACHE_EVENTS } from '../../engine/prefix/cache-events.ts';
import type { ScheduledBatch } from '../../serving/scheduling.ts';
import type { CachePlan, EngineCache } from './engine-cache.ts';
import type { SimRequest } from './request.ts';
import type { SimWorld } from './world.ts';

/** Batches under way on an engine at most, as in the scheduler's contract. */
const DEPTH = 2;

/** A batch on an engine. */
export interface Pass {
  readonly batch: ScheduledBatch<SimRequest>;
  /** When it was there and the batches before it were over. */
  readonly startMs: number;
  readonly endMs: number;
  /** True ones, given what was cached. */
  readonly flops: number;
  readonly tokens: number;
  readonly cachedTokens: number;
}

export class SimEngine {
  #underWay = 0;
  #freeMs = 0;

  /** @param cache null: none */
  constructor(private readonly index: number, private readonly world: SimWorld, private readonly cache: EngineCache | null) {}

  /**
   * @param clock the simulation's
   * @param over told when the last step of the batch is over, with what the cache did to it
   * @throws Error when two are under way already
   */
  submit(batch: ScheduledBatch<SimRequest>, clock: { readonly nowMs: number }, over: (pass: Pass, plan: CachePlan) => void): void {
    if (this.#underWay >= DEPTH) throw new Error(`engine ${this.index} has ${DEPTH} batches under way and was given another`);
    this.#underWay++;
    const { requests } = batch;
    const plan: CachePlan = this.cache?.plan(requests) ?? { cachedTokens: requests.map(() => 0), events: NO_CACHE_EVENTS };
    const { cachedTokens } = plan;
    const newTokens = requests.map(({ tokens }, i) => tokens - (cachedTokens[i] as number));
    let [flops, tokens, cached] = [0, 0, 0];
    for (const [i, request] of requests.entries()) {
      const have = cachedTokens[i] as number;
      flops += request.flops(have);
      tokens += request.tokens;
      cached += have;
    }
    const givenMs = clock.nowMs;
    this.world.submit(this.index, { newTokens, cachedTokens }, () => {
      this.#underWay--;
      const startMs = Math.max(givenMs, this.#freeMs);
      this.#freeMs = clock.nowMs;
      over({ batch, startMs, endMs: clock.nowMs, flops, tokens, cachedTokens: cached }, plan);
    });
  }
}
