/** Results on their way back to the host; one staging buffer a pass in flight, reused. */
import type { GpuDevice } from '../runtime/device.ts';
import type { Recorder } from '../runtime/recorder.ts';

/** The first `bytes` of a buffer, a multiple of 4. */
export interface ReadPart {
  readonly from: GPUBuffer;
  readonly bytes: number;
}

export class Readback {
  private readonly free: GPUBuffer[] = [];

  constructor(private readonly gpu: GpuDevice) {}

  /**
   * Records the copy of the first `count` f32 of `from`, submits, and returns what waits for them and frees the staging buffer.
   */
  take(recorder: Recorder, from: GPUBuffer, count: number): () => Promise<Float32Array> {
    const read = this.takeAll(recorder, [{ from, bytes: count * 4 }]);
    return async () => new Float32Array((await read())[0] as ArrayBuffer);
  }

  /** The same of several buffers, one behind the other in one staging buffer. With nothing to read it waits until all is computed. */
  takeAll(recorder: Recorder, parts: readonly ReadPart[]): () => Promise<ArrayBuffer[]> {
    const offsets: number[] = [];
    let total = 0;
    for (const { bytes } of parts) {
      offsets.push(total);
      total += bytes;
    }
    if (total === 0) return this.nothing(recorder, parts.length);
    const staging = this.staging(total);
    parts.forEach(({ from, bytes }, i) => { if (bytes > 0) recorder.copy(from, staging, bytes, 0, offsets[i]); });
    recorder.submit();
    return async () => {
      await this.gpu.wait(staging.mapAsync(GPUMapMode.READ, 0, total));
      const mapped = staging.getMappedRange(0, total);
      const values = parts.map(({ bytes }, i) => mapped.slice(offsets[i], (offsets[i] as number) + bytes));
      staging.unmap();
      this.free.push(staging);
      return values;
    };
  }

  private nothing(recorder: Recorder, parts: number): () => Promise<ArrayBuffer[]> {
    recorder.submit();
    const computed = this.gpu.idle();
    computed.catch(() => undefined); // told where it is awaited
    return async () => {
      await computed;
      return Array.from({ length: parts }, () => new ArrayBuffer(0));
    };
  }

  private staging(bytes: number): GPUBuffer {
    const at = this.free.findIndex((buffer) => buffer.size >= bytes);
    if (at >= 0) return this.free.splice(at, 1)[0] as GPUBuffer;
    const small = this.free.pop();
    if (small) this.gpu.destroyBuffer(small);
    return this.gpu.createBuffer('readback', bytes, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  }
}
