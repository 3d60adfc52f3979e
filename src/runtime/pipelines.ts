/** Compute pipelines by kernel name and options, each made once. */
import type { ShaderOptions, ShaderRenderer } from './shader-text.ts';

/** A rendered kernel on this device. */
export interface Kernel {
  readonly name: string;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export class Pipelines {
  private readonly made = new Map<string, Kernel>();

  constructor(
    private readonly device: GPUDevice,
    private readonly renderer: ShaderRenderer,
  ) {}

  /** The kernel of `shaders/<name>.wgsl` rendered with `options`. A driver may compile it as late as its first dispatch: warm up. */
  get(name: string, options: ShaderOptions): Kernel {
    const key = `${name} ${JSON.stringify(options)}`;
    const known = this.made.get(key);
    if (known) return known;
    const code = this.renderer.render(name, options);
    const module = this.device.createShaderModule({ label: key, code });
    const pipeline = this.device.createComputePipeline({ label: key, layout: 'auto', compute: { module, entryPoint: 'main' } });
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
