/** Splits sequences into the batches of passes. */

/** Indices into the list of sequences. */
export type Batch = readonly number[];

/**
 * Longest first, each batch filled up to `batchTokens`; a longer sequence goes alone. The split depends on the lengths only, never on
 * the number of ranks, and the short batches come last, so that ranks which take one after another end at about the same time.
 */
export function splitIntoBatches(lengths: readonly number[], batchTokens: number): Batch[] {
  const order = lengths.map((_, index) => index).sort((a, b) => (lengths[b] as number) - (lengths[a] as number) || a - b);
  const batches: number[][] = [];
  let room = 0;
  for (const index of order) {
    const length = lengths[index] as number;
    if (length > room || batches.length === 0) {
      batches.push([]);
      room = batchTokens;
    }
    (batches.at(-1) as number[]).push(index);
    room -= length;
  }
  return batches;
}
