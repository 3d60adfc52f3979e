import type { EngineSet } from './engine-set.ts';
import { PrefixTable } from './prefix-table.ts';
import { SetStore } from './set-store.ts';

/** Bits of an engine's number + 1 in a word: enough for MAX_ENGINES, and two of them leave the sign bit free. */
const ENGINE_BITS = 13;
const ENGINE_MASK = 2 ** ENGINE_BITS - 1;

/** The engine of either half of a word that is no stored set, or -1. */
const lowerOf = (set: number): number => (set & ENGINE_MASK) - 1;
const upperOf = (set: number): number => ((set >>> ENGINE_BITS) & ENGINE_MASK) - 1;
const pairOf = (lower: number, upper: number): number => (lower + 1) | ((upper + 1) << ENGINE_BITS);

/**
 * The table of more engines than a word has bits. Nearly all blocks are on one engine or two, whose numbers are in the word; a prefix that many ask for can
 * be on hundreds, and is a set of its own, of which the word has ~ the number.
 */
export class WideTable extends PrefixTable {
  readonly #stored: SetStore;
  /** Words of `found` that still have somebody. */
  readonly #active: Int32Array;
  readonly #next: Int32Array;

  /** @param blocks expected in all caches together; more are taken, too */
  constructor(engines: number, blocks: number) {
    super(engines, blocks);
    this.#stored = new SetStore(engines);
    this.#active = new Int32Array(Math.ceil(engines / 32));
    this.#next = new Int32Array(Math.ceil(engines / 32));
  }

  /** Walks the prompt once; of each block only words are looked at that had somebody at the block before. */
  override longest(hashes: Float64Array, limit: number, among: EngineSet, found: EngineSet): number {
    const [active, next, words] = [this.#active, this.#next, found.words];
    let count = 0;
    for (let index = 0; index < words.length; index++) if ((words[index] = among.words[index] as number) !== 0) active[count++] = index;
    let block = 0;
    for (; block < limit; block++) {
      this.fetchNext(hashes, block, limit);
      const at = this.find(hashes[block] as number);
      const committed = this.committedAt(at);
      const pending = this.pendingAt(at);
      let some = 0;
      for (let i = 0; i < count; i++) {
        const index = active[i] as number;
        some |= next[i] = (this.#word(committed, index) | this.#word(pending, index)) & (words[index] as number);
      }
      if (some === 0) break;
      let left = 0;
      for (let i = 0; i < count; i++) {
        const index = active[i] as number;
        if ((words[index] = next[i] as number) !== 0) active[left++] = index;
      }
      count = left;
    }
    return block;
  }

  protected override has(set: number, engine: number): boolean {
    return set < 0 ? this.#stored.has(~set, engine) : lowerOf(set) === engine || upperOf(set) === engine;
  }

  protected override with(set: number, engine: number): number {
    if (set < 0) this.#stored.add(~set, engine);
    else if (set === 0) return pairOf(engine, -1);
    else if (upperOf(set) < 0) return pairOf(lowerOf(set), engine);
    else return ~this.#stored.make([lowerOf(set), upperOf(set), engine]);
    return set;
  }

  protected override without(set: number, engine: number): number {
    if (set >= 0) return lowerOf(set) === engine ? pairOf(upperOf(set), -1) : pairOf(lowerOf(set), -1);
    if (this.#stored.remove(~set, engine) > 2) return set;
    const [lower, upper] = this.#stored.drop(~set) as [number, number];
    return pairOf(lower, upper);
  }

  /** Members of a set of which the upper bits are `index`, as bits. */
  #word(set: number, index: number): number {
    if (set < 0) return this.#stored.word(~set, index);
    const lower = lowerOf(set);
    const upper = upperOf(set);
    return (lower >> 5 === index ? 1 << lower : 0) | (upper >> 5 === index ? 1 << upper : 0);
  }
}
