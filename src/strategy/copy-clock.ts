/**
 * Device time of copies. A copy cannot carry timestamps, so an empty compute pass before and one after it do. The values stand
 * on the same clock as those of compute passes on this device.
 */

import { destroyIn, type StreamContext } from './context.ts';

/** Pairs a pass may hold; copies beyond are not timed. */
const PAIRS = 512;

/** One submit of copies on the device's clock, nanoseconds. */
export interface CopyTime {
  readonly layer: number;
  /** The stream's own count of passes, from 0. */
  readonly pass: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
}

/** Device memory of the times on their way back. */
export const COPY_CLOCK_BYTES = 16 * PAIRS;

type CopyClockContext = Pick<StreamContext, 'device' | 'createBuffer' | 'destroyBuffer'>;

export class CopyClock {
  readonly #querySet: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  #stamped: Pick<CopyTime, 'layer' | 'pass'>[] = [];
  #times: CopyTime[] = [];
  #pending: Promise<void> = Promise.resolve();

  private constructor(private readonly context: CopyClockContext) {
    this.#querySet = this.device.createQuerySet({ type: 'timestamp', count: 2 * PAIRS });
    this.#resolved = context.createBuffer('copy times', COPY_CLOCK_BYTES, GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC);
  }

  /** Null when the device was not created with `timestamp-query`. */
  static create(context: CopyClockContext): CopyClock | null {
    return context.device.features.has('timestamp-query') ? new CopyClock(context) : null;
  }

  private get device(): GPUDevice {
    return this.context.device;
  }

  begin(encoder: GPUCommandEncoder): void {
    this.#stamp(encoder, 0);
  }

  end(encoder: GPUCommandEncoder, { layer, pass }: Pick<CopyTime, 'layer' | 'pass'>): void {
    this.#stamp(encoder, 1);
    if (this.#stamped.length < PAIRS) this.#stamped.push({ layer, pass });
  }

  #stamp(encoder: GPUCommandEncoder, which: 0 | 1): void {
    if (this.#stamped.length >= PAIRS) return;
    const index = 2 * this.#stamped.length + which;
    const timestampWrites = { querySet: this.#querySet, [which === 0 ? 'beginningOfPassWriteIndex' : 'endOfPassWriteIndex']: index };
    encoder.beginComputePass({ timestampWrites }).end();
  }

  /** Begins to read back what was stamped so far. */
  flush(): void {
    const stamped = this.#stamped;
    this.#stamped = [];
    if (stamped.length === 0) return;
    const size = 16 * stamped.length;
    const readback = this.device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = this.device.createCommandEncoder();
    encoder.resolveQuerySet(this.#querySet, 0, 2 * stamped.length, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, readback, 0, size);
    this.device.queue.submit([encoder.finish()]);
    const read = readback.mapAsync(GPUMapMode.READ).then(() => {
      const stamps = new BigUint64Array(readback.getMappedRange());
      for (const [i, copy] of stamped.entries()) this.#times.push({ ...copy, startNs: stamps[2 * i] as bigint, endNs: stamps[2 * i + 1] as bigint });
      readback.destroy();
    });
    this.#pending = Promise.all([this.#pending, read]).then(() => undefined, () => undefined);
  }

  /** Copies whose times have come back since the last call. */
  take(): CopyTime[] {
    const times = this.#times;
    this.#times = [];
    return times;
  }

  async close(): Promise<void> {
    await this.#pending;
    this.#querySet.destroy();
    destroyIn(this.context, this.#resolved);
  }
}
