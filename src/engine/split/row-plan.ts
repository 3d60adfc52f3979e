/** Who owns which rows of a batch that several ranks compute together: every rank works out the same plan. */
import { partition } from '../../model/shard.ts';

/** Rows of one chunk, by rank. */
export interface ChunkRows {
  /** Tokens, in the layers but the last. */
  readonly tokens: readonly number[];
  /** Sequences whose last token is among them: the rows of the last layer. */
  readonly last: readonly number[];
}

const sum = (list: readonly number[]): number => list.reduce((total, value) => total + value, 0);

/** Sequences that end in tokens [start, end) of a packed batch. */
function endings(lengths: readonly number[], start: number, end: number): number {
  let at = 0;
  return lengths.filter((length) => (at += length) > start && at <= end).length;
}

/**
 * Attention data parallel: every rank has sequences of its own and cuts them into chunks; all take part in as many chunks as the longest has.
 * @param lengths of the sequences of each rank
 */
export function planOwnSequences(lengths: readonly (readonly number[])[], chunkTokens: number): ChunkRows[] {
  const totals = lengths.map(sum);
  const chunks = Math.ceil(Math.max(...totals) / chunkTokens);
  return Array.from({ length: chunks }, (_, chunk) => {
    const start = chunk * chunkTokens;
    return {
      tokens: totals.map((total) => Math.max(0, Math.min(chunkTokens, total - start))),
      last: lengths.map((own) => endings(own, start, start + chunkTokens)),
    };
  });
}

/**
 * Heads split: all ranks see all sequences; the residual stream of a chunk is split over them by tokens, in order.
 * @param lengths of all sequences
 */
export function planSharedSequences(lengths: readonly number[], chunkTokens: number, world: number): ChunkRows[] {
  const total = sum(lengths);
  return Array.from({ length: Math.ceil(total / chunkTokens) }, (_, chunk) => {
    const start = chunk * chunkTokens;
    const parts = partition(Math.min(chunkTokens, total - start), world);
    return {
      tokens: parts.map(({ count }) => count),
      last: parts.map(({ first, count }) => endings(lengths, start + first, start + first + count)),
    };
  });
}
