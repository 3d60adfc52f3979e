/** Starting one of our own modules as a program. */
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** Arguments for node: from the checkout TypeScript runs through tsx, from the package plain JavaScript does. */
export function programArguments(moduleUrl: string): string[] {
  const program = fileURLToPath(moduleUrl);
  if (!program.endsWith('.ts')) return [program];
  return ['--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href, program];
}
