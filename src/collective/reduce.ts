/** Sums of float32 parts, block by block. */

/** The same memory as bytes. */
export const asBytes = (floats: Float32Array): Uint8Array => new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);

/** Consecutive views of at most `blockBytes`; none of an empty array. */
export function* blocksOf<T extends Uint8Array | Float32Array>(data: T, blockBytes: number): Generator<T> {
  const length = blockBytes / data.BYTES_PER_ELEMENT;
  for (let start = 0; start < data.length; start += length) yield data.subarray(start, start + length) as T;
}

/** Memory for blocks that come: kept, because fresh memory is zeroed, paged in, and collected again in every operation. */
export class BlockPool {
  readonly #free: Float32Array[] = [];

  constructor(private readonly blockBytes: number) {}

  /** A whole block with anything in it. */
  take(): Float32Array {
    return this.#free.pop() ?? new Float32Array(this.blockBytes / 4);
  }

  give(blocks: readonly Float32Array[]): void {
    this.#free.push(...blocks);
  }
}

/** `sum` = blocks[0] + blocks[1] + ..., rounded to float32 after each; `sum` may be one of the blocks. */
export function sumBlock(blocks: readonly Float32Array[], sum: Float32Array): void {
  const [first, second, ...others] = blocks as [Float32Array, Float32Array | undefined, ...Float32Array[]];
  if (second === undefined) return sum.set(first);
  // The first two are read element by element before `sum` is written; a later one would be overwritten before its turn.
  const later = others.map((block) => (block.buffer === sum.buffer && block.byteOffset === sum.byteOffset ? block.slice() : block));
  add(first, second, sum);
  for (const block of later) add(sum, block, sum);
}

function add(a: Float32Array, b: Float32Array, sum: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = (a[i] as number) + (b[i] as number);
}
