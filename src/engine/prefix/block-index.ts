/** Finds blocks by hash; what a hash stands for is kept beside it, so that unequal blocks with equal hashes are told apart. */
import { BLOCK_TOKENS } from '../../runtime/kernels/attention.ts';
import { HashMap } from './hash-map.ts';

/** The block before the first one. */
export const ROOT = -1;
/** No block. */
export const NONE = -2;

/** A table of at most `capacity` blocks with ids from 0; ids are given by the caller. */
export class BlockIndex {
  /** The first of the blocks with a hash; more of them follow by `next`. */
  readonly #first: HashMap;
  #next!: Int32Array;
  #parents!: Int32Array;
  #hashes!: Float64Array;
  /** 16 of each block; null: not kept, and not compared. */
  #tokens!: Uint32Array | null;

  /** @param keepsTokens false where equal hashes are known to mean equal blocks */
  constructor(capacity: number, private readonly keepsTokens: boolean) {
    this.#first = new HashMap(capacity);
    this.#allocate(capacity);
  }

  /** Empties it for as many blocks at least. */
  reset(capacity: number): void {
    this.#first.clear();
    if (capacity > this.#next.length) this.#allocate(2 * capacity);
  }

  /**
   * The id of a block, or {@link NONE}. A block is what its own tokens make it, and by its parent all before them.
   * @param hash see {@link blockHashes}: where to look, no proof
   * @param parent id of the block before it, or {@link ROOT}
   * @param tokens where its 16 tokens stand
   * @param start of its tokens in `tokens`
   */
  find(hash: number, parent: number, tokens: Uint32Array, start: number): number {
    for (let id = this.#first.get(hash); id >= 0; id = this.#next[id] as number) if (this.#is(id, parent, tokens, start)) return id;
    return NONE;
  }

  /** Enters a block under an id that is free. */
  set(id: number, hash: number, parent: number, tokens: Uint32Array, start: number): void {
    this.#next[id] = this.#first.set(hash, id);
    this.#hashes[id] = hash;
    this.#parents[id] = parent;
    if (this.#tokens !== null) for (let i = 0; i < BLOCK_TOKENS; i++) this.#tokens[id * BLOCK_TOKENS + i] = tokens[start + i] as number;
  }

  delete(id: number): void {
    const hash = this.hashOf(id);
    const next = this.#next[id] as number;
    const first = this.#first.get(hash);
    if (first !== id) {
      let before = first;
      while (this.#next[before] !== id) before = this.#next[before] as number;
      this.#next[before] = next;
    } else if (next < 0) this.#first.delete(hash);
    else this.#first.set(hash, next);
  }

  hashOf(id: number): number {
    return this.#hashes[id] as number;
  }

  #allocate(capacity: number): void {
    this.#next = new Int32Array(capacity);
    this.#parents = new Int32Array(capacity);
    this.#hashes = new Float64Array(capacity);
    this.#tokens = this.keepsTokens ? new Uint32Array(capacity * BLOCK_TOKENS) : null;
  }

  #is(id: number, parent: number, tokens: Uint32Array, start: number): boolean {
    if (this.#parents[id] !== parent) return false;
    const [own, first] = [this.#tokens, id * BLOCK_TOKENS];
    if (own === null) return true;
    for (let i = 0; i < BLOCK_TOKENS; i++) if (own[first + i] !== tokens[start + i]) return false;
    return true;
  }
}
