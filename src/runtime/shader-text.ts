/** Renders the WGSL templates of `shaders/` (Eta): the text that a device compiles. */
import { Eta } from 'eta/core'; // without the part that reads files: this runs in a browser, too

/** Text of a template by name, without its ending (`matmul-tiled`, `lib/packed`). */
export type ReadShader = (name: string) => string;

/** What a template is rendered with: element types, tile sizes, switches. */
export type ShaderOptions = Readonly<Record<string, string | number | boolean>>;

/** Templates that others include. */
const LIBRARY = ['packed', 'product', 'attention', 'wire'] as const;

export class ShaderRenderer {
  private readonly eta = new Eta({ autoEscape: false, autoTrim: [false, 'nl'], cache: true });
  private readonly loaded = new Set<string>();

  constructor(private readonly read: ReadShader) {
    for (const name of LIBRARY) this.eta.loadTemplate(`@${name}`, read(`lib/${name}`));
  }

  /** Expanded WGSL without the blank lines that template statements leave; an included template leaves its functions in `it.lib`. */
  render(name: string, options: ShaderOptions): string {
    if (!this.loaded.has(name)) {
      this.eta.loadTemplate(`@${name}`, this.read(name));
      this.loaded.add(name);
    }
    return this.eta.render(`@${name}`, { ...options, lib: {} }).replaceAll(/\n(?:[ \t]*\n)+/g, '\n');
  }
}
