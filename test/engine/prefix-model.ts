/**
 * A prefix cache as one would write it first: prefixes as text, a list in the order of use, everything looked through. And the memory of workspace
 * and pool as text, so that a plan's copies can be carried out.
 */
import { askedRows, type Sequence } from '../../src/engine/batch.ts';
import { blockHashes } from '../../src/engine/prefix/block-hash.ts';
import type { PrefixPlan } from '../../src/engine/prefix/prefix-cache.ts';

/** Text of all tokens up to the end of a block. */
const textOf = (tokens: Uint32Array, block: number): string => tokens.subarray(0, 16 * (block + 1)).join(' ');

/** Of each full block. */
export const prefixesOf = (tokens: Uint32Array): string[] => Array.from({ length: Math.floor(tokens.length / 16) }, (_, block) => textOf(tokens, block));

/** Of each block, the last one full or not: what a sequence must find in its blocks. */
export const blocksOf = (tokens: Uint32Array): string[] => Array.from({ length: Math.ceil(tokens.length / 16) }, (_, block) => textOf(tokens, block));

export const hashOf = (prefix: string): number => blockHashes(prefix.split(' ').map(Number)).at(-1) as number;

export interface NaivePlan {
  readonly cached: readonly number[];
  readonly restored: readonly string[];
  readonly stored: readonly string[];
  readonly evicted: readonly string[];
}

export class NaiveCache {
  /** Prefixes, the one that was used last at the end. */
  contents: string[] = [];

  constructor(private readonly blocks: number) {}

  plan(sequences: readonly Sequence[]): NaivePlan {
    const inBatch = new Set<string>();
    const [restored, stored, evicted]: [string[], string[], string[]] = [[], [], []];
    const cached = sequences.map((sequence) => {
      const prefixes = prefixesOf(sequence.tokens);
      const most = Math.floor((sequence.tokens.length - askedRows(sequence)) / 16);
      const firstNew = prefixes.findIndex((prefix, b) => b >= most || (!inBatch.has(prefix) && !this.contents.includes(prefix)));
      const matched = firstNew < 0 ? prefixes.length : firstNew;
      restored.push(...prefixes.slice(0, matched).filter((prefix) => !inBatch.has(prefix)));
      for (const prefix of prefixes) inBatch.add(prefix);
      return 16 * matched;
    });
    for (const { tokens } of sequences) {
      const prefixes = prefixesOf(tokens);
      const fitting = prefixes.findIndex((prefix) => !this.#has(prefix, inBatch, stored, evicted));
      for (const prefix of prefixes.slice(0, fitting < 0 ? prefixes.length : fitting).toReversed()) this.#touch(prefix);
    }
    return { cached, restored, stored, evicted };
  }

  /** Whether a prefix is there, or can be. */
  #has(prefix: string, inBatch: ReadonlySet<string>, stored: string[], evicted: string[]): boolean {
    if (this.contents.includes(prefix)) return true;
    if (this.contents.length === this.blocks) {
      const oldest = this.contents.find((other) => !inBatch.has(other));
      if (oldest === undefined) return false;
      this.contents = this.contents.filter((other) => other !== oldest);
      evicted.push(oldest);
    }
    this.contents.push(prefix);
    stored.push(prefix);
    return true;
  }

  #touch(prefix: string): void {
    this.contents = [...this.contents.filter((other) => other !== prefix), prefix];
  }
}

/** What the blocks of workspace and pool hold, as the prefixes they are the last blocks of. */
export class Memory {
  readonly pool: string[] = [];

  /** Does what a pass does with its plan; the workspace begins with nothing that could be believed. */
  run(sequences: readonly Sequence[], { table, firstEntries, blocks, cached, restores, stores }: PrefixPlan): { restored: string[]; stored: string[]; seen: string[][] } {
    const workspace: string[] = Array.from({ length: blocks }, () => 'never written');
    const pairs = (list: Uint32Array): [number, number][] => Array.from({ length: list.length / 2 }, (_, i) => [list[2 * i] as number, list[2 * i + 1] as number]);
    for (const [from, to] of pairs(restores)) workspace[to] = this.pool[from] as string;
    // Sequences are computed in turn: each sees what those before it and its own new tokens have left in its blocks.
    const seen = sequences.map(({ tokens }, i) => {
      const first = firstEntries[i] as number;
      const own = table.subarray(first, first + Math.ceil(tokens.length / 16));
      for (let b = (cached[i] as number) / 16; b < own.length; b++) workspace[own[b] as number] = textOf(tokens, b);
      return [...own].map((block) => workspace[block] as string);
    });
    for (const [from, to] of pairs(stores)) this.pool[to] = workspace[from] as string;
    return { restored: pairs(restores).map(([from]) => this.pool[from] as string), stored: pairs(stores).map(([from]) => workspace[from] as string), seen };
  }
}
