/**
 * A simulated engine: one device that computes batch after batch, at most two under way (the second is planned while the first computes).
 *
 * A pass takes as long as its true FLOPs, given what its prefix cache has, at the rate of the kernels; under AsyncEP every MoE layer also waits for its
 * experts, which arrive t_EP after the layer before began. All layers are alike, so that
 *
 *     service = max(FLOPs / rate, L_moe t_EP)         exposed = service - FLOPs / rate
 */
import type { ScheduledBatch } from '../../serving/scheduling.ts';
import type { CachePlan, EngineCache } from './engine-cache.ts';
import type { SimRequest } from './request.ts';

/** Batches under way on an engine at most. */
const DEPTH = 2;

export interface EngineRates {
  readonly flopsPerSecond: number;
  /** t_EP of one layer; 0: nothing is gathered. */
  readonly gatherMs: number;
  readonly moeLayers: number;
}

/** A batch on an engine. */
export interface Pass {
  readonly batch: ScheduledBatch<SimRequest>;
  readonly startMs: number;
  readonly endMs: number;
  readonly computeMs: number;
  readonly exposedMs: number;
  /** True ones, given what was cached. */
  readonly flops: number;
  readonly tokens: number;
  readonly cachedTokens: number;
  readonly events: CachePlan['events'];
}

export class SimEngine {
  readonly #underWay: Pass[] = [];
  #freeMs = 0;

  constructor(private readonly rates: EngineRates, private readonly cache: EngineCache) {}

  /** When the pass that computes is over; Infinity when there is none. */
  get nextEndMs(): number {
    return this.#underWay[0]?.endMs ?? Infinity;
  }

  /** @throws Error when two are under way already */
  submit(batch: ScheduledBatch<SimRequest>, nowMs: number): Pass {
    if (this.#underWay.length >= DEPTH) throw new Error(`engine ${batch.engine} has ${DEPTH} batches under way and was given another`);
    const { cachedTokens, events } = this.cache.plan(batch.requests);
    let [flops, tokens, cached] = [0, 0, 0];
    batch.requests.forEach((request, i) => {
      const have = cachedTokens[i] as number;
      flops += request.flops(have);
      tokens += request.tokens;
      cached += have;
    });
    const { flopsPerSecond, gatherMs, moeLayers } = this.rates;
    const computeMs = (flops / flopsPerSecond) * 1000;
    const serviceMs = Math.max(computeMs, moeLayers * gatherMs);
    const startMs = Math.max(nowMs, this.#freeMs);
    this.#freeMs = startMs + serviceMs;
    const pass = { batch, startMs, endMs: this.#freeMs, computeMs, exposedMs: serviceMs - computeMs, flops, tokens, cachedTokens: cached, events };
    this.#underWay.push(pass);
    return pass;
  }

  /** Takes off the pass that is over. */
  finish(): Pass {
    const pass = this.#underWay.shift();
    if (pass === undefined) throw new Error('nothing is under way');
    return pass;
  }
}
