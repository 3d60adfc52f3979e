/**
 * Finds who in a queue shares the beginning of a prompt, without walking the queue. A block's hash covers all that is before it, so requests with the same
 * hash at some depth have that prefix in common. A request is entered at depths of a power of two blocks, and only where such a prefix is worth it: where it
 * saves {@link WORTH} of the request's own FLOPs. So a request has four entries at most, however long it is (five with little attention), and a template
 * that everybody begins with, a small part of each, makes nobody a sibling: it is in every cache anyway.
 */
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';
import type { Entry } from './filling-batch.ts';
import { matchLimit } from './policy.ts';
import { RequestQueue, type QueueWatcher } from './request-queue.ts';
import type { Routable } from './scheduling.ts';

/** flops(0) - flops(common prefix), over flops(0): at least this for a request to be a sibling. */
export const WORTH = 1 / 8;

/** A request that was found, and blocks that it has in common at least. */
export interface Sibling<R extends Routable> {
  readonly entry: Entry<R>;
  readonly depth: number;
}

/** The largest power of two of blocks that may match; 0 for none. */
function deepest(request: Routable): number {
  const blocks = matchLimit(request);
  return blocks === 0 ? 0 : 2 ** (31 - Math.clz32(blocks));
}

/** The smallest power of two of blocks that is worth it; above {@link deepest} when none is. */
function shallowest(request: Routable): number {
  const all = request.flops(0);
  let depth = deepest(request);
  while (depth >= 1 && all - request.flops(depth * BLOCK_TOKENS) >= WORTH * all) depth /= 2;
  return Math.max(1, depth * 2);
}

/** To be told of everybody who enters and leaves the queue. */
export class SiblingIndex<R extends Routable> implements QueueWatcher<Entry<R>> {
  /** By the hash of the last block in common. */
  readonly #groups = new Map<number, RequestQueue<Entry<R>>>();
  /** Hashes that each request is entered under. */
  readonly #hashes = new Map<Entry<R>, readonly number[]>();

  /** Entries there are: hashes with somebody, and requests. */
  get size(): number {
    return this.#groups.size + this.#hashes.size;
  }

  entered(entry: Entry<R>): void {
    const { request } = entry;
    const { hashes: blocks } = request;
    const hashes: number[] = [];
    for (let depth = deepest(request), least = shallowest(request); depth >= least; depth /= 2) hashes.push(blocks[depth - 1] as number);
    for (const hash of hashes) {
      const group = this.#groups.get(hash) ?? new RequestQueue<Entry<R>>();
      if (group.length === 0) this.#groups.set(hash, group);
      group.add(entry);
    }
    this.#hashes.set(entry, hashes);
  }

  left(entry: Entry<R>): void {
    for (const hash of this.#hashes.get(entry) ?? []) {
      const group = this.#groups.get(hash);
      group?.remove(entry);
      if (group?.length === 0) this.#groups.delete(hash);
    }
    this.#hashes.delete(entry);
  }

  /** Whoever has most in common with a request, the first to have come among equals. */
  siblingOf(request: R): Sibling<R> | undefined {
    const { hashes } = request;
    for (let depth = deepest(request); depth >= 1; depth /= 2) {
      const entry = this.#groups.get(hashes[depth - 1] as number)?.head;
      if (entry !== undefined) return { entry, depth };
    }
    return undefined;
  }
}
