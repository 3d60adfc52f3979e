/** One GPU device: what it can do, what it holds, and how to wait for it. */
import { DeviceError } from '../errors.ts';
import { MemoryLedger, placeOf } from './memory.ts';
import { Pipelines } from './pipelines.ts';
import { ShaderRenderer, type ReadShader } from './shader-text.ts';

/** Waits for a promise of the device; injected, because how to wait well depends on the platform. */
export type Wait = <T>(promise: Promise<T>) => Promise<T>;

export interface DeviceOptions {
  readonly shaders: ReadShader;
  readonly wait?: Wait;
  /** Caps the size of one binding (bytes) below the adapter's limit: makes banks on any adapter. */
  readonly maxBindingBytes?: number;
  /** Device memory allowance: an allocation that would exceed it is refused. Buffers that the host maps do not count. */
  readonly memoryLimitBytes?: number;
}

const WANTED_FEATURES = ['subgroups', 'shader-f16', 'timestamp-query'] as const;

export class GpuDevice {
  readonly memory: MemoryLedger;
  readonly pipelines: Pipelines;
  private failure: DeviceError | undefined;
  private closing = false;

  private constructor(
    readonly device: GPUDevice,
    readonly info: GPUAdapterInfo,
    readonly renderer: ShaderRenderer,
    private readonly waiter: Wait,
    /** Largest buffer that one binding may show, bytes. */
    readonly maxBindingBytes: number,
    memoryLimitBytes: number | undefined,
  ) {
    this.memory = new MemoryLedger(memoryLimitBytes);
    this.pipelines = new Pipelines(device, renderer);
    device.addEventListener('uncapturederror', (event) => {
      this.failure ??= new DeviceError(`${this.name}: ${(event as GPUUncapturedErrorEvent).error.message}`);
    });
    void device.lost.then(({ reason, message }) => {
      if (!this.closing) this.failure ??= new DeviceError(`${this.name}: device lost (${reason}): ${message}`);
    });
  }

  /**
   * Asks the adapter for the features and limits that it has among those we can use; none is assumed.
   * @throws DeviceError when the adapter gives no device
   */
  static async open(adapter: GPUAdapter, options: DeviceOptions): Promise<GpuDevice> {
    const { maxStorageBufferBindingSize, maxBufferSize, maxStorageBuffersPerShaderStage } = adapter.limits;
    const device = await adapter.requestDevice({
      requiredFeatures: WANTED_FEATURES.filter((feature) => adapter.features.has(feature)),
      requiredLimits: { maxStorageBufferBindingSize, maxBufferSize, maxStorageBuffersPerShaderStage },
    });
    const limit = Math.min(maxStorageBufferBindingSize, maxBufferSize, options.maxBindingBytes ?? Number.MAX_SAFE_INTEGER);
    const renderer = new ShaderRenderer(options.shaders);
    return new GpuDevice(device, adapter.info, renderer, options.wait ?? ((promise) => promise), limit, options.memoryLimitBytes);
  }

  /** Vendor and driver, for messages and for the key of remembered tuning. */
  get name(): string {
    const { vendor, architecture, device, description } = this.info;
    return [vendor, architecture, description || device].filter((part) => part !== '').join(' ') || 'unnamed adapter';
  }

  get queue(): GPUQueue {
    return this.device.queue;
  }

  /** Lanes of a subgroup where the adapter has one size only; 0 where it has none or may choose. */
  get subgroupSize(): number {
    const { subgroupMinSize, subgroupMaxSize } = this.info;
    return this.device.features.has('subgroups') && subgroupMinSize === subgroupMaxSize ? subgroupMaxSize : 0;
  }

  get hasF16(): boolean {
    return this.device.features.has('shader-f16');
  }

  get hasTimestamps(): boolean {
    return this.device.features.has('timestamp-query');
  }

  /**
   * A buffer whose size is recorded under `label` (`part/detail`). Contents are zero. Size is rounded up to 4 bytes.
   * @throws DeviceError when it would exceed the device memory allowance
   */
  createBuffer(label: string, bytes: number, usage: GPUBufferUsageFlags): GPUBuffer {
    const size = Math.max(4, Math.ceil(bytes / 4) * 4);
    const mapped = (usage & (GPUBufferUsage.MAP_READ | GPUBufferUsage.MAP_WRITE)) !== 0;
    if (mapped !== (placeOf(label.split('/')[0] as string) === 'host')) {
      throw new TypeError(`buffer ${label} is ${mapped ? '' : 'not '}mapped by the host; runtime/memory.ts says otherwise of its part`);
    }
    this.memory.admit(label, size);
    const buffer = this.device.createBuffer({ label, size, usage });
    this.memory.record(buffer, label, size);
    return buffer;
  }

  destroyBuffer(buffer: GPUBuffer): void {
    this.memory.release(buffer);
    buffer.destroy();
  }

  /** Uploads bytes in pieces that the driver stages without a fresh allocation each (at most 4 MiB). */
  upload(buffer: GPUBuffer, bytes: Uint8Array, offset = 0): void {
    const piece = 4 << 20;
    for (let at = 0; at < bytes.byteLength; at += piece) {
      const part = bytes.subarray(at, Math.min(at + piece, bytes.byteLength));
      this.queue.writeBuffer(buffer, offset + at, part as Uint8Array<ArrayBuffer>);
    }
  }

  /** Waits for a device promise, then raises the first error the device reported meanwhile. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    try {
      const value = await this.waiter(promise);
      this.check();
      return value;
    } catch (error) {
      this.check();
      throw error;
    }
  }

  /** @throws DeviceError when the device is lost or refused a command */
  check(): void {
    if (this.failure) throw this.failure;
  }

  /** Copies a buffer's bytes back to the host. */
  async read(buffer: GPUBuffer, bytes = buffer.size, offset = 0): Promise<ArrayBuffer> {
    const size = Math.ceil(bytes / 4) * 4;
    const staging = this.device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, offset, staging, 0, size);
    this.queue.submit([encoder.finish()]);
    await this.wait(staging.mapAsync(GPUMapMode.READ));
    const copy = staging.getMappedRange().slice(0, bytes);
    staging.destroy();
    return copy;
  }

  async idle(): Promise<void> {
    await this.wait(this.queue.onSubmittedWorkDone());
  }

  close(): void {
    this.closing = true;
    this.device.destroy();
  }
}

/** Opens the device of an adapter; see {@link GpuDevice.open}. */
export const openDevice = (adapter: GPUAdapter, options: DeviceOptions): Promise<GpuDevice> => GpuDevice.open(adapter, options);
