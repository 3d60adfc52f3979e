import type { EngineSet } from './engine-set.ts';
import { PrefixTable } from './prefix-table.ts';

/** Engines that fit into a set that is one word. */
export const MASK_ENGINES = 32;

/** The table of {@link MASK_ENGINES} engines at most: a set is a bit mask. */
export class MaskTable extends PrefixTable {
  override longest(hashes: Float64Array, limit: number, among: EngineSet, found: EngineSet): number {
    let left = among.words[0] as number;
    let block = 0;
    for (; block < limit; block++) {
      this.fetchNext(hashes, block, limit);
      const at = this.find(hashes[block] as number);
      const there = (this.committedAt(at) | this.pendingAt(at)) & left;
      if (there === 0) break;
      left = there;
    }
    found.words[0] = left;
    return block;
  }

  protected override has(set: number, engine: number): boolean {
    return (set & (1 << engine)) !== 0;
  }

  protected override with(set: number, engine: number): number {
    return set | (1 << engine);
  }

  protected override without(set: number, engine: number): number {
    return set & ~(1 << engine);
  }
}
