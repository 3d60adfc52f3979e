/** The engine's own index of its prefix cache, asked with block hashes alone: no token is made. */
import { PlanScratch } from '../../engine/prefix/plan-draft.ts';
import { PrefixCache } from '../../engine/prefix/prefix-cache.ts';
import type { CacheEvents } from '../../engine/prefix/cache-events.ts';
import type { Routable } from '../../serving/scheduling.ts';

/** What a cache does to a batch. */
export interface CachePlan {
  /** Leading tokens of each request that need not be computed: cached, or of an earlier request of the same batch. */
  readonly cachedTokens: readonly number[];
  readonly events: CacheEvents;
}

/** Nobody looks at the tokens of a block whose name is trusted, so all may be equal. */
let sameTokens = new Uint32Array(0);

/** Names of blocks do not collide here, and no plan is ever forgotten. */
const scratch = new PlanScratch(false);

export class EngineCache {
  readonly #cache: PrefixCache;
  #batch: readonly Pick<Routable, 'hashes'>[] = [];

  /** @param blocks most that outlive their batch; with 0, requests of a batch still share */
  constructor(blocks: number) {
    this.#cache = new PrefixCache(blocks, { hash: (_, index) => (this.#batch[index] as Pick<Routable, 'hashes'>).hashes, scratch });
  }

  plan(requests: readonly Pick<Routable, 'tokens' | 'hashes'>[]): CachePlan {
    const longest = requests.reduce((most, { tokens }) => Math.max(most, tokens), 0);
    if (sameTokens.length < longest) sameTokens = new Uint32Array(longest);
    this.#batch = requests;
    const { cached, events } = this.#cache.plan(requests.map(({ tokens }) => ({ tokens: sameTokens.subarray(0, tokens) })));
    this.#batch = [];
    return { cachedTokens: cached, events };
  }
}
