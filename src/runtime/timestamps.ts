/** Device timestamps around compute passes. */
import type { GpuDevice } from './device.ts';

/** When a compute pass ran on the device. */
export interface DeviceInterval {
  readonly label: string;
  /** Milliseconds on the device's own clock. */
  readonly startMs: number;
  readonly endMs: number;
}

/** Up to `capacity` intervals between two reads; later ones are not measured. */
export class Timestamps {
  private readonly querySet: GPUQuerySet;
  private readonly resolved: GPUBuffer;
  private labels: string[] = [];

  /** @throws TypeError when the device has no timestamp queries: ask `gpu.hasTimestamps` first */
  constructor(
    private readonly gpu: GpuDevice,
    private readonly capacity = 1024,
  ) {
    if (!gpu.hasTimestamps) throw new TypeError(`${gpu.name} has no timestamp queries`);
    this.querySet = gpu.device.createQuerySet({ type: 'timestamp', count: capacity * 2 });
    this.resolved = gpu.createBuffer('workspace/timestamps', capacity * 16, GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC);
  }

  next(label: string): GPUComputePassTimestampWrites | undefined {
    if (this.labels.length === this.capacity) return undefined;
    const at = this.labels.push(label) - 1;
    return { querySet: this.querySet, beginningOfPassWriteIndex: 2 * at, endOfPassWriteIndex: 2 * at + 1 };
  }

  /** Intervals since the last call, once the device has finished them. */
  async take(): Promise<DeviceInterval[]> {
    const labels = this.labels;
    this.labels = [];
    if (labels.length === 0) return [];
    const encoder = this.gpu.device.createCommandEncoder();
    encoder.resolveQuerySet(this.querySet, 0, labels.length * 2, this.resolved, 0);
    this.gpu.queue.submit([encoder.finish()]);
    const ns = new BigUint64Array(await this.gpu.read(this.resolved, labels.length * 16));
    return labels.map((label, i) => ({ label, startMs: Number(ns[2 * i]) / 1e6, endMs: Number(ns[2 * i + 1]) / 1e6 }));
  }

  destroy(): void {
    this.querySet.destroy();
    this.gpu.destroyBuffer(this.resolved);
  }
}
