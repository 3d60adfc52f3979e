/** A plan in the making: the distinct full blocks of a batch (its nodes), and where each stands in the workspace and in the pool. */
import { BLOCK_TOKENS } from '../../runtime/kernels/attention.ts';
import type { BlockAssignment } from '../kv-blocks.ts';
import { BlockIndex } from './block-index.ts';
import { CacheChanges } from './cache-events.ts';

/** What plans are made with, one after the other. */
export class PlanScratch {
  /** Nodes of the plan in the making. */
  readonly nodes: BlockIndex;
  readonly changes = new CacheChanges();

  /** @param keepsTokens see {@link BlockIndex} */
  constructor(readonly keepsTokens: boolean) {
    this.nodes = new BlockIndex(0, keepsTokens);
  }
}

export class PlanDraft {
  readonly restores: number[] = [];
  readonly stores: number[] = [];
  readonly #index: BlockIndex;
  /** Of each node: its block in the workspace, and its cache block or NONE. */
  readonly #blocks: Int32Array;
  readonly #entries: Int32Array;
  #nodes = 0;
  /** Entry by entry of the block table: block, and node of the full ones. */
  readonly #table: Uint32Array;
  readonly #tableNodes: Int32Array;
  readonly #firstEntries: number[] = [];
  #used = 0;

  /**
   * @param lengths tokens of each sequence
   * @param nodes whose contents are of no more use
   */
  constructor(private readonly lengths: readonly number[], nodes: BlockIndex) {
    let entries = 0;
    let full = 0;
    for (const length of lengths) {
      this.#firstEntries.push(entries);
      entries += Math.ceil(length / BLOCK_TOKENS);
      full += Math.floor(length / BLOCK_TOKENS);
    }
    nodes.reset(full);
    this.#index = nodes;
    this.#blocks = new Int32Array(full);
    this.#entries = new Int32Array(full);
    this.#table = new Uint32Array(entries);
    this.#tableNodes = new Int32Array(entries);
  }

  /** The node of a block that a sequence before had, or NONE; see {@link BlockIndex.find}. */
  find(hash: number, parent: number, tokens: Uint32Array, start: number): number {
    return this.#index.find(hash, parent, tokens, start);
  }

  /** Adds the block that was not found. @param entry its cache block, or NONE */
  add(hash: number, parent: number, tokens: Uint32Array, start: number, entry: number): number {
    const node = this.#nodes++;
    this.#index.set(node, hash, parent, tokens, start);
    this.#entries[node] = entry;
    this.#blocks[node] = this.#used++;
    return node;
  }

  /** Entry `b` of a sequence's block table: the block of `node`, or, where the sequence computes it although another one has it, one of its own. */
  place(sequence: number, b: number, node: number, shared: boolean): void {
    const at = (this.#firstEntries[sequence] as number) + b;
    this.#tableNodes[at] = node;
    this.#table[at] = shared ? this.blockOf(node) : this.#used++;
  }

  blockOf(node: number): number {
    return this.#blocks[node] as number;
  }

  hashOf(node: number): number {
    return this.#index.hashOf(node);
  }

  /** The cache block of a node, or NONE. */
  entryOf(node: number): number {
    return this.#entries[node] as number;
  }

  setEntry(node: number, entry: number): void {
    this.#entries[node] = entry;
  }

  /** Nodes of a sequence's full blocks. */
  nodesOf(sequence: number): Int32Array {
    const first = this.#firstEntries[sequence] as number;
    return this.#tableNodes.subarray(first, first + Math.floor((this.lengths[sequence] as number) / BLOCK_TOKENS));
  }

  /** The finished table; blocks that are not full are no other sequence's. */
  assignment(): BlockAssignment {
    for (const [i, length] of this.lengths.entries()) {
      if (length % BLOCK_TOKENS !== 0) this.#table[(this.#firstEntries[i] as number) + Math.floor(length / BLOCK_TOKENS)] = this.#used++;
    }
    return { table: this.#table, firstEntries: this.#firstEntries, blocks: this.#used };
  }
}
