/** Records dispatches into command buffers, with their parameters in one uniform arena. */
import type { GpuDevice } from './device.ts';
import type { Kernel } from './pipelines.ts';
import type { Timestamps } from './timestamps.ts';

const SLOT_BYTES = 256; // minUniformBufferOffsetAlignment is at most this
const PARAM_BYTES = 64;
const SLOTS = 1024;

/** Part of a buffer, or the whole of it. */
export type Binding = GPUBuffer | { readonly buffer: GPUBuffer; readonly offset: number; readonly size: number };

/** A parameter of a kernel: u32, or f32 when wrapped by {@link f32}. */
export type Param = number | { readonly f32: number };

export const f32 = (value: number): Param => ({ f32: value });

const resource = (binding: Binding): GPUBufferBinding => ('buffer' in binding ? binding : { buffer: binding });

/** Commands run in the order they were recorded; each dispatch sees the writes of those before it. */
export class Recorder {
  private readonly arena: GPUBuffer;
  private readonly params = new ArrayBuffer(SLOTS * SLOT_BYTES);
  private readonly words = new Uint32Array(this.params);
  private readonly floats = new Float32Array(this.params);
  private used = 0;
  private encoder: GPUCommandEncoder | undefined;
  private pass: GPUComputePassEncoder | undefined;
  private label = '';

  constructor(
    private readonly gpu: GpuDevice,
    private readonly timestamps?: Timestamps,
  ) {
    this.arena = gpu.createBuffer('workspace/params', this.params.byteLength, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
  }

  /** Names what is recorded until the next submit (the trace shows it). */
  begin(label: string): void {
    this.label = label;
  }

  /** @throws RangeError when the grid is larger than the device takes */
  dispatch(kernel: Kernel, params: readonly Param[], buffers: readonly Binding[], x: number, y = 1): void {
    if (x === 0 || y === 0 || this.gpu.pipelines.collecting) return;
    const limit = this.gpu.device.limits.maxComputeWorkgroupsPerDimension;
    if (Math.max(x, y) > limit) throw new RangeError(`kernel ${kernel.name}: ${x} x ${y} workgroups; this device takes ${limit} a dimension: use smaller chunks or batches`);
    if (this.used === SLOTS) this.submit();
    const slot = this.used++;
    params.forEach((param, i) => {
      const at = (slot * SLOT_BYTES) / 4 + i;
      if (typeof param === 'number') this.words[at] = param;
      else this.floats[at] = param.f32;
    });
    const entries = [
      { binding: 0, resource: { buffer: this.arena, offset: slot * SLOT_BYTES, size: PARAM_BYTES } },
      ...buffers.map((binding, i) => ({ binding: i + 1, resource: resource(binding) })),
    ];
    const pass = this.open();
    pass.setPipeline(kernel.pipeline);
    pass.setBindGroup(0, this.gpu.device.createBindGroup({ layout: kernel.layout, entries }));
    pass.dispatchWorkgroups(x, y);
  }

  /** Records a copy behind what was recorded so far. */
  copy(from: GPUBuffer, to: GPUBuffer, bytes: number, fromOffset = 0, toOffset = 0): void {
    if (this.gpu.pipelines.collecting) return;
    this.pass?.end();
    this.pass = undefined;
    this.encoder ??= this.gpu.device.createCommandEncoder();
    this.encoder.copyBufferToBuffer(from, fromOffset, to, toOffset, bytes);
  }

  /** Hands everything recorded to the queue; parameters go first, and the queue keeps the order. */
  submit(): void {
    if (!this.encoder) return;
    this.pass?.end();
    this.pass = undefined;
    this.gpu.queue.writeBuffer(this.arena, 0, this.params, 0, this.used * SLOT_BYTES);
    this.gpu.queue.submit([this.encoder.finish()]);
    this.encoder = undefined;
    this.used = 0;
  }

  /** Gives the parameters' buffer back; nothing may be recorded afterwards. */
  destroy(): void {
    this.gpu.destroyBuffer(this.arena);
  }

  private open(): GPUComputePassEncoder {
    if (this.pass) return this.pass;
    this.encoder ??= this.gpu.device.createCommandEncoder();
    const timestampWrites = this.timestamps?.next(this.label);
    this.pass = this.encoder.beginComputePass(timestampWrites ? { timestampWrites } : undefined);
    return this.pass;
  }
}
