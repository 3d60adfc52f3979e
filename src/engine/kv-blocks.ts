/** Which KV blocks hold the keys and values of which tokens. */
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';

/**
 * How long a block belongs to its sequence. `layer`: for the whole layer, so keys and values of the whole batch are held. `none` (the
 * KV-cache-free mode, paper section 2): until the chunk in which the sequence ends has gone through the layer's attention; blocks of
 * later chunks take its place, and what is held is one chunk and the sequences that reach into it from chunks before. `cache`: for the layer,
 * too, but sequences with the same prefix have the same blocks, and a cache keeps them for later batches; who plans that is prefix/.
 */
export type KvMode = 'cache' | 'layer' | 'none';

export const KV_MODES = ['cache', 'layer', 'none'] as const satisfies readonly KvMode[];

export interface BlockAssignment {
  /** Tokens of each sequence whose keys and values are there already, whole blocks; none by default. */
  readonly cached?: readonly number[];
  /** Block ids of each sequence in turn, ceil(length / 16) each. */
  readonly table: Uint32Array;
  /** Where each sequence's ids begin in `table`. */
  readonly firstEntries: readonly number[];
  /** Blocks that there must be: the most in use at once. */
  readonly blocks: number;
}

/**
 * Gives every sequence blocks of its own, chunk by chunk as its tokens come. That a block given back is written again needs no fence: the
 * attention of a chunk is recorded before the keys and values of the next one, and the queue keeps the order.
 * @param lengths tokens of each sequence (at least 1), packed one after the other
 */
export function assignBlocks(lengths: readonly number[], chunkTokens: number, kv: KvMode): BlockAssignment {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const table = new Uint32Array(lengths.reduce((sum, length) => sum + Math.ceil(length / BLOCK_TOKENS), 0));
  const firstEntries: number[] = [];
  const free: number[] = [];
  let blocks = 0;
  let start = 0;
  // Entries [kept, entry) belong to sequences that have not ended in an earlier chunk.
  let [kept, entry] = [0, 0];
  for (let sequence = 0, chunkEnd = chunkTokens; start < total; chunkEnd += chunkTokens) {
    for (; start < chunkEnd && sequence < lengths.length; sequence++) {
      const length = lengths[sequence] as number;
      const first = (firstEntries[sequence] ??= entry);
      const present = Math.min(length, chunkEnd - start);
      while (entry < first + Math.ceil(present / BLOCK_TOKENS)) table[entry++] = free.pop() ?? blocks++;
      if (present < length) break;
      start += length;
    }
    const goesOn = firstEntries[sequence] ?? entry;
    if (kv === 'none') free.push(...table.subarray(kept, goesOn));
    kept = goesOn;
  }
  return { table, firstEntries, blocks };
}

/** Blocks that a batch needs at once, see {@link assignBlocks}. */
export const kvBlocks = (lengths: readonly number[], chunkTokens: number, kv: KvMode): number => assignBlocks(lengths, chunkTokens, kv).blocks;
