/** The WGSL templates of this package, read from its `shaders/` folder. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AsyncepError } from '../errors.ts';

/** Folder of the package, whether this file runs as `src/node/shaders.ts` or as `dist/node/shaders.js`. */
export const packageRoot = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

const cache = new Map<string, string>();

/**
 * Text of `shaders/<name>.wgsl` (the ending may be given or left out), read once.
 * @throws AsyncepError when there is no such template
 */
export function readShader(name: string): string {
  const known = cache.get(name);
  if (known !== undefined) return known;
  const file = join(packageRoot, 'shaders', name.endsWith('.wgsl') ? name : `${name}.wgsl`);
  if (!existsSync(file)) throw new AsyncepError(`shader template ${file}: no such file`);
  const text = readFileSync(file, 'utf8');
  cache.set(name, text);
  return text;
}
