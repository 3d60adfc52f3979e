/**
 * Which prefixes an engine remembers, and which blocks a batch shares: an index without data, so that a simulator can use it, too.
 *
 * A pass holds the keys and values of one layer at a time, in the blocks of its workspace. What outlives it stands in a pool of as many cache
 * blocks for every layer. A plan says which cache blocks are copied to the workspace before a layer (`restores`), and which new ones from it
 * to the pool behind the layer (`stores`). Sequences of a batch with the same prefix share the workspace's blocks, whether it is cached or not.
 *
 * Plans follow one another, and the queue keeps the order of their copies: a pass reads what the one before has stored, and what it stores
 * may take the place of what that one has read. When the pool is full, the block that was not used for the longest time makes room (LRU).
 * Of a sequence the head counts as used last, so a block outlives its followers, and never has one whose parent is gone.
 */
import { BLOCK_TOKENS } from '../../runtime/kernels/attention.ts';
import { askedRows, type Sequence } from '../batch.ts';
import type { BlockAssignment } from '../kv-blocks.ts';
import { blockHashes } from './block-hash.ts';
import { BlockIndex, NONE, ROOT } from './block-index.ts';
import type { CacheEvents } from './cache-events.ts';
import { LruList } from './lru-list.ts';
import { PlanDraft, PlanScratch } from './plan-draft.ts';

/** Blocks of a batch, and what the pool has to do with them. Copies are pairs (from, to). */
export interface PrefixPlan extends BlockAssignment {
  /** Tokens of each sequence that need not be computed: whole blocks, and never the positions that are asked for. */
  readonly cached: readonly number[];
  /** u32 [n, 2]: cache block, workspace block; before a layer. */
  readonly restores: Uint32Array;
  /** u32 [n, 2]: workspace block, cache block; behind a layer. */
  readonly stores: Uint32Array;
  /** What has changed in the cache since the last plan. */
  readonly events: CacheEvents;
}

export interface PrefixCacheOptions {
  /** Names of the full blocks of a sequence, which is the `index`-th of its batch; {@link blockHashes} by default. */
  readonly hash?: (tokens: Uint32Array, index: number) => Float64Array;
  /**
   * What plans are made with; by default something of its own. Where it keeps no tokens, equal names are equal blocks: for who knows that they do not
   * collide. Caches can share it if none ever forgets a plan or is cleared.
   */
  readonly scratch?: PlanScratch;
}

export class PrefixCache {
  readonly #hash: (tokens: Uint32Array, index: number) => Float64Array;
  readonly #scratch: PlanScratch;
  readonly #index: BlockIndex;
  readonly #lru: LruList;
  /** Cache blocks that were given up; those from `#fresh` on have never been used. */
  readonly #free: number[] = [];
  #fresh = 0;
  /** The plan in which each cache block was last used: one of the plan in the making makes no room. */
  readonly #usedIn: Uint32Array;
  #plans = 0;

  /** @param blocks most blocks of the cache; with 0 sequences of a batch still share */
  constructor(readonly blocks: number, { hash = blockHashes, scratch = new PlanScratch(true) }: PrefixCacheOptions = {}) {
    this.#hash = hash;
    this.#scratch = scratch;
    this.#index = new BlockIndex(blocks, scratch.keepsTokens);
    this.#lru = new LruList(blocks);
    this.#usedIn = new Uint32Array(blocks);
  }

  /** Blocks that are remembered now. */
  get used(): number {
    return this.#fresh - this.#free.length;
  }

  /** Plans a batch; the pass must be recorded, or the plan forgotten, before the next one. */
  plan(sequences: readonly Sequence[]): PrefixPlan {
    this.#plans = (this.#plans + 1) >>> 0;
    const draft = new PlanDraft(sequences.map(({ tokens }) => tokens.length), this.#scratch.nodes);
    // All that is there is found, and so kept, before anything makes room for new blocks.
    const cached = sequences.map((sequence, i) => BLOCK_TOKENS * this.#match(draft, i, sequence));
    for (let i = 0; i < sequences.length; i++) this.#keep(draft, i, (sequences[i] as Sequence).tokens);
    return { ...draft.assignment(), cached, restores: new Uint32Array(draft.restores), stores: new Uint32Array(draft.stores), events: this.#scratch.changes.take() };
  }

  /** The pass of the latest plan was not recorded: nothing of what it was to store is there. What it evicted is gone, and told by the next plan. */
  forget({ stores, events }: PrefixPlan): void {
    this.#scratch.changes.restore(events);
    for (let i = stores.length - 1; i > 0; i -= 2) this.#evict(stores[i] as number);
  }

  /** Makes it as new: later plans tell nothing of what was there. */
  clear(): void {
    for (let id = this.#lru.oldest; id >= 0; id = this.#lru.oldest) this.#evict(id);
    this.#scratch.changes.take();
  }

  /** Gives every block of a sequence its place in the workspace; returns how many need not be computed. */
  #match(draft: PlanDraft, i: number, sequence: Sequence): number {
    const { tokens } = sequence;
    const most = Math.floor((tokens.length - askedRows(sequence)) / BLOCK_TOKENS);
    const hashes = this.#hash(tokens, i);
    let [node, entry, matched] = [ROOT, ROOT, 0];
    for (let b = 0, start = 0; b < hashes.length; b++, start += BLOCK_TOKENS) {
      const hash = hashes[b] as number;
      const wanted = matched === b && b < most;
      const shared = draft.find(hash, node, tokens, start);
      if (shared !== NONE) {
        [node, entry] = [shared, draft.entryOf(shared)];
        if (wanted) matched++;
        draft.place(i, b, node, wanted);
        continue;
      }
      entry = entry === NONE ? NONE : this.#index.find(hash, entry, tokens, start);
      node = draft.add(hash, node, tokens, start, entry);
      draft.place(i, b, node, true);
      if (entry === NONE) continue;
      this.#use(entry);
      if (!wanted) continue;
      matched++;
      draft.restores.push(entry, draft.blockOf(node));
    }
    return matched;
  }

  /** Has the new blocks of a sequence stored, from its head, as far as there is room; then marks all of them used, from the tail. */
  #keep(draft: PlanDraft, i: number, tokens: Uint32Array): void {
    const nodes = draft.nodesOf(i);
    let parent = ROOT;
    let kept = 0;
    for (const node of nodes) {
      if (draft.entryOf(node) === NONE) {
        const entry = this.#room();
        if (entry === NONE) break;
        this.#index.set(entry, draft.hashOf(node), parent, tokens, kept * BLOCK_TOKENS);
        this.#scratch.changes.came(draft.hashOf(node));
        this.#use(entry);
        draft.setEntry(node, entry);
        draft.stores.push(draft.blockOf(node), entry);
      }
      parent = draft.entryOf(node);
      kept++;
    }
    while (kept > 0) this.#use(draft.entryOf(nodes[--kept] as number));
  }

  #use(entry: number): void {
    this.#usedIn[entry] = this.#plans;
    this.#lru.touch(entry);
  }

  /** A cache block for new contents, or {@link NONE} when all hold what this batch uses. */
  #room(): number {
    if (this.#free.length === 0) {
      if (this.#fresh < this.blocks) return this.#fresh++;
      const { oldest } = this.#lru;
      if (oldest < 0 || this.#usedIn[oldest] === this.#plans) return NONE;
      this.#evict(oldest);
    }
    return this.#free.pop() as number;
  }

  #evict(entry: number): void {
    this.#scratch.changes.left(this.#index.hashOf(entry));
    this.#index.delete(entry);
    this.#lru.remove(entry);
    this.#free.push(entry);
  }
}
