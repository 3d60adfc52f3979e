/** Finds blocks by hash; what a hash stands for is kept beside it, so that unequal blocks with equal hashes are told apart. */
import { BLOCK_TOKENS } from '../../runtime/kernels/attention.ts';

/** The block before the first one. */
export const ROOT = -1;
/** No block. */
export const NONE = -2;

/** What makes a block the one it is: its own tokens, and by its parent all before them. */
export interface BlockKey {
  /** See {@link blockHashes}: where to look, no proof. */
  readonly hash: number;
  /** Id of the block before it, or {@link ROOT}. */
  readonly parent: number;
  /** Its 16 tokens. */
  readonly tokens: Uint32Array;
}

/** A table of at most `capacity` blocks with ids from 0; ids are given by the caller. */
export class BlockIndex {
  /** The first of the blocks with a hash; more of them follow by `next`. */
  readonly #first = new Map<number, number>();
  readonly #next: Int32Array;
  readonly #parents: Int32Array;
  readonly #hashes: Float64Array;
  readonly #tokens: Uint32Array;

  constructor(capacity: number) {
    this.#next = new Int32Array(capacity);
    this.#parents = new Int32Array(capacity);
    this.#hashes = new Float64Array(capacity);
    this.#tokens = new Uint32Array(capacity * BLOCK_TOKENS);
  }

  /** The id of a block, or {@link NONE}. */
  find(key: BlockKey): number {
    for (let id = this.#first.get(key.hash) ?? NONE; id !== NONE; id = this.#next[id] as number) if (this.#is(id, key)) return id;
    return NONE;
  }

  set(id: number, { hash, parent, tokens }: BlockKey): void {
    this.#next[id] = this.#first.get(hash) ?? NONE;
    this.#first.set(hash, id);
    this.#hashes[id] = hash;
    this.#parents[id] = parent;
    this.#tokens.set(tokens, id * BLOCK_TOKENS);
  }

  delete(id: number): void {
    const hash = this.hashOf(id);
    const next = this.#next[id] as number;
    const first = this.#first.get(hash) as number;
    if (first !== id) {
      let before = first;
      while (this.#next[before] !== id) before = this.#next[before] as number;
      this.#next[before] = next;
    } else if (next === NONE) this.#first.delete(hash);
    else this.#first.set(hash, next);
  }

  hashOf(id: number): number {
    return this.#hashes[id] as number;
  }

  #is(id: number, { parent, tokens }: BlockKey): boolean {
    if (this.#parents[id] !== parent) return false;
    const first = id * BLOCK_TOKENS;
    for (let i = 0; i < BLOCK_TOKENS; i++) if (this.#tokens[first + i] !== tokens[i]) return false;
    return true;
  }
}
