/** What the frontend knows of one engine's prefix cache, in plain sets: the drawing's copy of src/serving/prefix-table.ts, and what tests hold against it. */
import type { CacheEvents } from '../../../../src/engine/prefix/cache-events.ts';

export class KnownBlocks {
  readonly committed = new Set<number>();
  /** Promised by requests that were routed and not answered, and by how many. */
  readonly pending = new Map<number, number>();

  /** Leading blocks of a prompt, `limit` at most, that are there or promised. */
  match(hashes: Float64Array, limit: number): number {
    let block = 0;
    while (block < limit && block < hashes.length && this.#has(hashes[block] as number)) block++;
    return block;
  }

  promise(hashes: Float64Array, from: number): void {
    for (const hash of hashes.subarray(from)) this.pending.set(hash, (this.pending.get(hash) ?? 0) + 1);
  }

  release(hashes: Float64Array, from: number): void {
    for (const hash of hashes.subarray(from)) {
      const left = (this.pending.get(hash) as number) - 1;
      if (left === 0) this.pending.delete(hash);
      else this.pending.set(hash, left);
    }
  }

  commit({ materialised }: Pick<CacheEvents, 'materialised'>): void {
    for (const hash of materialised) this.committed.add(hash);
  }

  evict({ evicted }: Pick<CacheEvents, 'evicted'>): void {
    for (const hash of evicted) this.committed.delete(hash);
  }

  #has(hash: number): boolean {
    return this.committed.has(hash) || this.pending.has(hash);
  }
}
