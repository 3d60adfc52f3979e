/**
 * What the router knows of all engines' prefix caches (paper section 7.2, appendix B.2): the *committed* table C_i of blocks that are resident, kept
 * true by the engine's cache events, and the *pending* table P_i of blocks promised by requests that were routed and have not been answered.
 *
 * One hash table serves all engines, so that one probe a block tells which of them have it: open addressing with linear probing in one
 * buffer, 16 bytes a slot (hash + 1 as f64, the set of engines that committed it, the set of those where it is pending), so that a probe is
 * one cache line. What the word of a set means, a subclass knows; 0 is the empty set. The key 0 is a free slot; deleting shifts what follows back, so
 * there are no tombstones. A decision touches hundreds of slots far apart: its time is that of cache misses, which overlap only while the loops are short.
 */
import { hashSlot } from '../engine/prefix/hash-slot.ts';
import type { EngineSet } from './engine-set.ts';

/** Blocks of a prompt that are fetched at once while it matches. */
const FETCHED = 32;
const SLOT_WORDS = 4;
/** Words of a slot: who committed the block, and where it is pending. */
const COMMITTED = 2;
const PENDING = 3;
const SETS = [COMMITTED, PENDING] as const;
type SetWord = (typeof SETS)[number];
const FIRST_SLOTS = 1024;
/** A table for more blocks than this grows when they come: one that is too large is slow. */
const MAX_FIRST_SLOTS = 2 ** 22;
/** Of the slots that are used; beyond it runs of linear probing grow long. */
const MAX_LOAD = 0.6;

export abstract class PrefixTable {
  #keys!: Float64Array;
  /** The same bytes. */
  #words!: Int32Array;
  #last!: number;
  /** Of a 32-bit hash; what is left are the bits that name a slot. */
  #shift!: number;
  #used = 0;
  /** Nobody's: only so that {@link fetch} is not thought to do nothing. */
  protected fetched = 0;
  readonly #committed: Uint32Array;
  readonly #pending: Uint32Array;
  /** Promises of a block beyond an engine's first. They are few: mostly a prompt's last blocks, which must be computed again. */
  readonly #extraPromises: Map<number, number>[];

  /**
   * @param engines numbered from 0
   * @param blocks expected in all caches together; more are taken, too
   */
  constructor(engines: number, blocks: number) {
    this.#committed = new Uint32Array(engines);
    this.#pending = new Uint32Array(engines);
    this.#extraPromises = Array.from({ length: engines }, () => new Map());
    let slots = FIRST_SLOTS;
    while (slots * MAX_LOAD < blocks && slots < MAX_FIRST_SLOTS) slots *= 2;
    this.#allocate(slots);
  }

  /** Different hashes in the table. */
  get size(): number {
    return this.#used;
  }

  committedBlocks(engine: number): number {
    return this.#committed[engine] as number;
  }

  /** Different blocks that are promised, whether or not they are committed as well. */
  pendingBlocks(engine: number): number {
    return this.#pending[engine] as number;
  }

  /**
   * Who of some engines has, or will have, most leading blocks of a prompt.
   * @param limit blocks that may match at most
   * @param among who is asked about
   * @param found becomes the engines with the longest match: all that were asked about when nobody has the first block
   * @returns blocks of that match
   */
  abstract longest(hashes: Float64Array, limit: number, among: EngineSet, found: EngineSet): number;

  /** To be called for each block of a walk that may end at any: when much matches, what comes next is fetched. */
  protected fetchNext(hashes: Float64Array, block: number, limit: number): void {
    if (block % FETCHED === FETCHED / 4) this.fetch(hashes, block, Math.min(limit, block + FETCHED));
  }

  /** Whether an engine is in a set. */
  protected abstract has(set: number, engine: number): boolean;
  /** The set with an engine that was not in it. */
  protected abstract with(set: number, engine: number): number;
  /** The set without an engine that was in it; 0 when it was the last. */
  protected abstract without(set: number, engine: number): number;

  /** Leading blocks of a prompt that one engine has or will have, `limit` at most. */
  match(hashes: Float64Array, limit: number, engine: number): number {
    let block = 0;
    for (; block < limit; block++) {
      this.fetchNext(hashes, block, limit);
      const at = this.find(hashes[block] as number);
      if (!this.has(this.committedAt(at), engine) && !this.has(this.pendingAt(at), engine)) break;
    }
    return block;
  }

  /** Leading blocks of a prompt that are resident on one engine, `limit` at most. */
  matchCommitted(hashes: Float64Array, limit: number, engine: number): number {
    let block = 0;
    while (block < limit && this.has(this.committedAt(this.find(hashes[block] as number)), engine)) block++;
    return block;
  }

  /** Promises blocks [from, ...) of a prompt on an engine. Counted: as many releases take it back. */
  promise(engine: number, hashes: Float64Array, from: number): void {
    const extra = this.#extraPromises[engine] as Map<number, number>;
    this.#reserve(hashes.length);
    this.fetch(hashes, from, hashes.length);
    let added = 0;
    for (let block = from; block < hashes.length; block++) {
      const hash = hashes[block] as number;
      if (this.#set(hash, PENDING, engine)) added++;
      else extra.set(hash, (extra.get(hash) ?? 0) + 1);
    }
    (this.#pending[engine] as number) += added;
  }

  /** Takes back what {@link promise} did. */
  release(engine: number, hashes: Float64Array, from: number): void {
    const extra = this.#extraPromises[engine] as Map<number, number>;
    let removed = 0;
    for (let block = from; block < hashes.length; block++) {
      const hash = hashes[block] as number;
      const more = extra.size === 0 ? undefined : extra.get(hash);
      if (more === 1) extra.delete(hash);
      else if (more !== undefined) extra.set(hash, more - 1);
      else if (this.#unset(hash, PENDING, engine)) removed++;
    }
    (this.#pending[engine] as number) -= removed;
  }

  commit(engine: number, hashes: Float64Array): void {
    this.#reserve(hashes.length);
    this.fetch(hashes, 0, hashes.length);
    for (const hash of hashes) if (this.#set(hash, COMMITTED, engine)) (this.#committed[engine] as number)++;
  }

  evict(engine: number, hashes: Float64Array): void {
    this.fetch(hashes, 0, hashes.length);
    for (const hash of hashes) if (this.#unset(hash, COMMITTED, engine)) (this.#committed[engine] as number)--;
  }

  /** Forgets everything about an engine. Walks the whole table: for engines that are lost. */
  clear(engine: number): void {
    this.#committed[engine] = 0;
    this.#pending[engine] = 0;
    this.#extraPromises[engine]?.clear();
    for (let at = 0; at < this.#words.length; at += SLOT_WORDS) {
      for (const word of SETS) {
        const set = this.#words[at + word] as number;
        if (this.has(set, engine)) this.#words[at + word] = this.without(set, engine);
      }
    }
    this.#rebuild(this.#last + 1);
  }

  /** Where in the table a hash is, or would be: for {@link committedAt} and {@link pendingAt}. */
  protected find(hash: number): number {
    return this.#slot(hash) * SLOT_WORDS;
  }

  /** Has the processor fetch the slots of blocks [from, to) at once: whoever looks at them one after the other finds them in its caches. */
  protected fetch(hashes: Float64Array, from: number, to: number): void {
    const words = this.#words;
    const shift = this.#shift;
    let seen = 0;
    for (let block = from; block < to; block++) seen |= words[(hashSlot(hashes[block] as number) >>> shift) * SLOT_WORDS + COMMITTED] as number;
    this.fetched = seen;
  }

  protected committedAt(at: number): number {
    return this.#words[at + COMMITTED] as number;
  }

  protected pendingAt(at: number): number {
    return this.#words[at + PENDING] as number;
  }

  #allocate(slots: number): void {
    const buffer = new ArrayBuffer(slots * SLOT_WORDS * 4);
    this.#keys = new Float64Array(buffer);
    this.#words = new Int32Array(buffer);
    this.#last = slots - 1;
    this.#shift = Math.clz32(slots) + 1;
    this.#used = 0;
  }

  /** Where the hash is, or the free slot that would take it. */
  #slot(hash: number): number {
    const keys = this.#keys;
    let slot = hashSlot(hash) >>> this.#shift;
    for (let key = keys[slot * 2]; key !== hash + 1 && key !== 0; key = keys[slot * 2]) slot = (slot + 1) & this.#last;
    return slot;
  }

  /** @returns whether the engine was not there before */
  #set(hash: number, word: SetWord, engine: number): boolean {
    const slot = this.#slot(hash);
    const at = slot * SLOT_WORDS + word;
    const before = this.#words[at] as number;
    if (this.has(before, engine)) return false;
    this.#words[at] = this.with(before, engine);
    if (this.#keys[slot * 2] === 0) this.#used++;
    this.#keys[slot * 2] = hash + 1;
    return true;
  }

  /** @returns whether the engine was there before */
  #unset(hash: number, word: SetWord, engine: number): boolean {
    const slot = this.#slot(hash);
    const at = slot * SLOT_WORDS;
    const before = this.#words[at + word] as number;
    if (!this.has(before, engine)) return false;
    this.#words[at + word] = this.without(before, engine);
    if (((this.#words[at + COMMITTED] as number) | (this.#words[at + PENDING] as number)) === 0) this.#free(slot);
    return true;
  }

  /** Frees a slot and moves back what stands behind it because of it (Knuth, volume 3, section 6.4, algorithm R). */
  #free(gap: number): void {
    const keys = this.#keys;
    const words = this.#words;
    const last = this.#last;
    this.#used--;
    for (let slot = (gap + 1) & last; keys[slot * 2] !== 0; slot = (slot + 1) & last) {
      const home = hashSlot((keys[slot * 2] as number) - 1) >>> this.#shift;
      if (((slot - home) & last) < ((slot - gap) & last)) continue;
      keys[gap * 2] = keys[slot * 2] as number;
      words[gap * SLOT_WORDS + COMMITTED] = words[slot * SLOT_WORDS + COMMITTED] as number;
      words[gap * SLOT_WORDS + PENDING] = words[slot * SLOT_WORDS + PENDING] as number;
      gap = slot;
    }
    keys[gap * 2] = 0;
    words[gap * SLOT_WORDS + COMMITTED] = words[gap * SLOT_WORDS + PENDING] = 0;
  }

  /** Makes room for more. */
  #reserve(hashes: number): void {
    const slots = this.#last + 1;
    if (this.#used + hashes > slots * MAX_LOAD) this.#rebuild(slots * 2 ** Math.ceil(Math.log2((this.#used + hashes) / (slots * MAX_LOAD))));
  }

  #rebuild(slots: number): void {
    const [keys, words] = [this.#keys, this.#words];
    this.#allocate(slots);
    for (let from = 0; from * 2 < keys.length; from++) {
      const key = keys[from * 2] as number;
      if (((words[from * SLOT_WORDS + COMMITTED] as number) | (words[from * SLOT_WORDS + PENDING] as number)) === 0) continue;
      const slot = this.#slot(key - 1);
      this.#keys[slot * 2] = key;
      this.#words[slot * SLOT_WORDS + COMMITTED] = words[from * SLOT_WORDS + COMMITTED] as number;
      this.#words[slot * SLOT_WORDS + PENDING] = words[from * SLOT_WORDS + PENDING] as number;
      this.#used++;
    }
  }
}
