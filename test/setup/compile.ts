/** Compiles the checkout for the processes that tests start, see src/node/program-arguments.ts. Vitest calls {@link setup} once, before all tests. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Below node_modules, so that packages are found from there; each run has its own, for another may be under way. */
const folder = join(root, `node_modules/.cache/asyncep-tests-${process.pid}`);
/** What compiled files read beside themselves. */
const READ = ['shaders', 'models', 'web', 'package.json'];

/** Types are checked elsewhere. */
export function setup(): void {
  mkdirSync(folder, { recursive: true });
  for (const name of READ) symlinkSync(join(root, name), join(folder, name));
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  // A file that does not parse is an error of the tests that need it.
  spawnSync(process.execPath, [tsc, '-p', join(root, 'test/setup/tsconfig.json'), '--noCheck', '--outDir', folder], { stdio: 'inherit' });
  if (!existsSync(join(folder, 'src/cluster/rank-main.js'))) throw new Error(`tsc wrote nothing to ${folder}`);
  process.env['ASYNCEP_COMPILED'] = folder;
}

export function teardown(): void {
  rmSync(folder, { recursive: true, force: true });
}
