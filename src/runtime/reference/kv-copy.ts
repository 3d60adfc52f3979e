/** Reference of copies of blocks. */

/** `to` with block toBlock[i] taken from block fromBlock[i] of `from`, for each pair (fromBlock, toBlock); `blockWords` words a block. */
export function copyBlocks(from: Uint32Array, to: Uint32Array, blockWords: number, pairs: readonly (readonly [number, number])[]): Uint32Array {
  const out = to.slice();
  for (const [source, target] of pairs) out.set(from.subarray(source * blockWords, (source + 1) * blockWords), target * blockWords);
  return out;
}
