/** Compute pipelines by kernel name and options, each made once. */
import { DeviceError } from '../errors.ts';
import type { ShaderOptions, ShaderRenderer } from './shader-text.ts';

/** A rendered kernel on this device. */
export interface Kernel {
  readonly name: string;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export class Pipelines {
  private readonly made = new Map<string, Kernel>();
  private wanted: Map<string, { name: string; options: ShaderOptions }> | undefined;

  constructor(
    private readonly device: GPUDevice,
    private readonly renderer: ShaderRenderer,
  ) {}

  /** While kernels are only collected, none can be dispatched. */
  get collecting(): boolean {
    return this.wanted !== undefined;
  }

  /** The kernel of `shaders/<name>.wgsl` rendered with `options`. A driver may compile it as late as its first dispatch: warm up. */
  get(name: string, options: ShaderOptions): Kernel {
    const key = `${name} ${JSON.stringify(options)}`;
    const known = this.made.get(key);
    if (known) return known;
    if (this.wanted) {
      this.wanted.set(key, { name, options });
      return NOT_YET;
    }
    return this.keep(key, name, this.device.createComputePipeline(this.descriptor(key, name, options)));
  }

  /**
   * Makes all kernels that `use` asks for, at once and off this thread. `use` runs now; what it dispatches is dropped.
   * @throws DeviceError naming the kernel that does not compile
   */
  async prepare(use: () => void): Promise<void> {
    const wanted = (this.wanted = new Map<string, { name: string; options: ShaderOptions }>());
    try {
      use();
    } finally {
      this.wanted = undefined;
    }
    await Promise.all([...wanted].map(async ([key, { name, options }]) => {
      const pipeline = await this.device.createComputePipelineAsync(this.descriptor(key, name, options)).catch((error: Error) => {
        throw new DeviceError(`kernel ${key}: ${error.message}`, { cause: error });
      });
      this.keep(key, name, pipeline);
    }));
  }

  private descriptor(label: string, name: string, options: ShaderOptions): GPUComputePipelineDescriptor {
    const module = this.device.createShaderModule({ label, code: this.renderer.render(name, options) });
    return { label, layout: 'auto', compute: { module, entryPoint: 'main' } };
  }

  private keep(key: string, name: string, pipeline: GPUComputePipeline): Kernel {
    const kernel = { name, pipeline, layout: pipeline.getBindGroupLayout(0) };
    this.made.set(key, kernel);
    return kernel;
  }

  /** Name and options of every kernel made so far, with its text: what `doctor --dump-shaders` writes. */
  texts(): { readonly key: string; readonly code: string }[] {
    return [...this.made.keys()].map((key) => {
      const at = key.indexOf(' ');
      return { key, code: this.renderer.render(key.slice(0, at), JSON.parse(key.slice(at + 1)) as ShaderOptions) };
    });
  }
}

/** Stands for a kernel while kernels are collected; recorders drop its dispatches. */
const NOT_YET = { name: 'not made yet' } as Kernel;
