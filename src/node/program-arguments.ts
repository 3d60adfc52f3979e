/** Starting one of our own modules as a program. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { packageRoot } from './shaders.ts';

/**
 * A folder in which this checkout lies compiled, `src` and what else: given to processes that start many others, such as the tests, because one that
 * runs TypeScript through tsx takes 1.2 s of a core longer to be born.
 */
const compiled = process.env['ASYNCEP_COMPILED'];

/** URL of what is to be run or imported for a module: its compiled twin, where there is one. */
export function programUrl(moduleUrl: string): string {
  if (compiled === undefined || !moduleUrl.endsWith('.ts')) return moduleUrl;
  const twin = join(compiled, relative(packageRoot, fileURLToPath(moduleUrl)).replace(/\.ts$/, '.js'));
  return existsSync(twin) ? pathToFileURL(twin).href : moduleUrl;
}

/** Arguments for node: from the checkout TypeScript runs through tsx, from the package plain JavaScript does. */
export function programArguments(moduleUrl: string): string[] {
  const program = fileURLToPath(programUrl(moduleUrl));
  if (!program.endsWith('.ts')) return [program];
  return ['--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href, program];
}
