/** Steps 1 and 2: node_modules as package-lock.json wants it, dist/ newer than src/, `npx asyncep` that runs it. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fail, root, say } from './say.mjs';

/** An installed package brings dist/ and no sources: nothing to install or build there. */
const isCheckout = existsSync(join(root, 'src')) && existsSync(join(root, 'package-lock.json'));

const readLock = (file) => JSON.parse(readFileSync(join(root, file), 'utf8')).packages;

/** npm notes in node_modules/.package-lock.json what it installed; optional packages of other platforms may be absent. */
function packagesAreCurrent() {
  const installed = 'node_modules/.package-lock.json';
  if (!existsSync(join(root, installed))) return false;
  const have = readLock(installed);
  return Object.entries(readLock('package-lock.json')).every(
    ([path, wanted]) => path === '' || wanted.optional || have[path]?.version === wanted.version,
  );
}

/** Stops with the reason when a step that everything rests on fails. */
function orFail(what, step) {
  try {
    step();
  } catch (error) {
    fail(`${what} failed: ${error.message}`, 1);
  }
}

/** @returns whether packages were installed */
export function installPackagesWhenStale(run) {
  if (!isCheckout || packagesAreCurrent()) return false;
  say('installing the packages of package-lock.json');
  orFail('npm ci', () => run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund']));
  return true;
}

function newestMtime(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newestMtime(join(path, name))));
}

function distIsCurrent() {
  const program = join(root, 'dist/cli/main.js');
  if (!existsSync(program)) return false;
  // Shaders are read as they are, but code of another age would hand them the wrong parameters.
  const sources = ['src', 'shaders', 'web/learn', 'tsconfig.json', 'tsconfig.build.json'].map((name) => newestMtime(join(root, name)));
  return statSync(program).mtimeMs >= Math.max(...sources);
}

/** @returns whether dist/ was built */
export function buildWhenStale(run) {
  if (!isCheckout || distIsCurrent()) return false;
  say('building dist/');
  orFail('npm run build', () => run('npm', ['run', '--silent', 'build']));
  return true;
}

/** Makes `npx asyncep` run this checkout's own program, as if the package were installed in itself. */
export function linkProgram() {
  const link = join(root, 'node_modules/.bin/asyncep');
  if (!isCheckout || process.platform === 'win32') return;
  chmodSync(join(root, 'dist/cli/main.js'), 0o755);
  if (existsSync(link)) return;
  mkdirSync(join(root, 'node_modules/.bin'), { recursive: true });
  symlinkSync('../../dist/cli/main.js', link);
}
