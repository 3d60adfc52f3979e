/** Logits on their way back to the host; one staging buffer a pass in flight, reused. */
import type { GpuDevice } from '../runtime/device.ts';
import type { Recorder } from '../runtime/recorder.ts';

export class Readback {
  private readonly free: GPUBuffer[] = [];

  constructor(private readonly gpu: GpuDevice) {}

  /**
   * Records the copy of the first `count` f32 of `from`, submits, and returns what waits for them and frees the staging buffer.
   */
  take(recorder: Recorder, from: GPUBuffer, count: number): () => Promise<Float32Array> {
    const bytes = count * 4;
    const staging = this.staging(bytes);
    recorder.copy(from, staging, bytes);
    recorder.submit();
    return async () => {
      await this.gpu.wait(staging.mapAsync(GPUMapMode.READ, 0, bytes));
      const values = new Float32Array(staging.getMappedRange(0, bytes).slice(0));
      staging.unmap();
      this.free.push(staging);
      return values;
    };
  }

  private staging(bytes: number): GPUBuffer {
    const at = this.free.findIndex((buffer) => buffer.size >= bytes);
    const found = this.free.splice(at, at < 0 ? 0 : 1)[0];
    return found ?? this.gpu.createBuffer('readback', bytes, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  }
}
