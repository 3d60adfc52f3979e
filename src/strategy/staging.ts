/**
 * Host-visible buffers through which every byte from another rank passes: mapped, filled by the reader, copied to a slot, mapped again.
 *
 * Dawn's `mapAsync` waits for the last submit that used *this* buffer, not for the queue to be empty, so a buffer is free again
 * as soon as its own copy is through. Compared with `queue.writeBuffer` from an array (a second copy, on the JavaScript thread),
 * this is 1.5 to 2 times as fast on the software adapters.
 */
import { destroyIn, type StreamContext } from './context.ts';

/** A mapped buffer; `bytes` is its whole range and dies with `unmap`. */
export interface Staging {
  readonly buffer: GPUBuffer;
  readonly bytes: Uint8Array;
}

export class StagingPool {
  readonly #buffers: GPUBuffer[] = [];
  readonly #free: Staging[] = [];
  #closed = false;

  /**
   * @param bufferBytes size of one buffer: the largest piece
   * @param onFree called whenever a buffer can be taken (again)
   * @param onError called when the device refuses to map one
   */
  constructor(
    private readonly context: Pick<StreamContext, 'createBuffer' | 'destroyBuffer'>,
    count: number,
    readonly bufferBytes: number,
    private readonly onFree: () => void,
    private readonly onError: (error: unknown) => void,
  ) {
    for (let i = 0; i < count; i++) {
      const buffer = context.createBuffer(`staging/${i}`, bufferBytes, GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC);
      this.#buffers.push(buffer);
      this.#map(buffer);
    }
  }

  get size(): number {
    return this.#buffers.length;
  }

  /** A mapped buffer, or null while all are in use. */
  take(): Staging | null {
    return this.#free.pop() ?? null;
  }

  /** The copy out of `staging` (unmapped before) was submitted: it may be reused once that is through. */
  recycle(staging: Staging): void {
    this.#map(staging.buffer);
  }

  #map(buffer: GPUBuffer): void {
    if (this.#closed) return;
    buffer.mapAsync(GPUMapMode.WRITE).then(
      () => {
        if (this.#closed) return;
        this.#free.push({ buffer, bytes: new Uint8Array(buffer.getMappedRange()) });
        this.onFree();
      },
      (error: unknown) => {
        if (!this.#closed) this.onError(error);
      },
    );
  }

  /** Nobody may be reading into a buffer any more. */
  close(): void {
    this.#closed = true;
    for (const buffer of this.#buffers) destroyIn(this.context, buffer);
  }
}
