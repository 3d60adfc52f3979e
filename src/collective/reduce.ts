/** Sums of float32 parts, block by block. */

/** The same memory as bytes. */
export const asBytes = (floats: Float32Array): Uint8Array => new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);

/** Consecutive views of at most `blockBytes`; none of an empty array. */
export function* blocksOf<T extends Uint8Array | Float32Array>(data: T, blockBytes: number): Generator<T> {
  const length = blockBytes / data.BYTES_PER_ELEMENT;
  for (let start = 0; start < data.length; start += length) yield data.subarray(start, start + length) as T;
}

/** `sum` = blocks[0] + blocks[1] + ..., rounded to float32 after each; `sum` may be one of the blocks. */
export function sumBlock(blocks: readonly Float32Array[], sum: Float32Array): void {
  const [first, ...others] = blocks as [Float32Array, ...Float32Array[]];
  // Where `sum` is a later block, its elements must be read before they are written: element by element, not block by block.
  if (others.some((block) => block.buffer === sum.buffer && block.byteOffset === sum.byteOffset)) return sumElements(blocks, sum);
  sum.set(first);
  for (const block of others) for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (block[i] as number);
}

function sumElements(blocks: readonly Float32Array[], sum: Float32Array): void {
  for (let i = 0; i < sum.length; i++) {
    let value = blocks[0]?.[i] as number;
    for (let b = 1; b < blocks.length; b++) value = Math.fround(value + (blocks[b]?.[i] as number));
    sum[i] = value;
  }
}
