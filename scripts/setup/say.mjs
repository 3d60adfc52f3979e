/** How the set-up talks, and how it runs other programs. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Root of the package. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Tells the user what happens, on stderr, so that stdout stays with the command that follows. */
export const say = (text) => process.stderr.write(`setup: ${text}\n`);

/** Tells what is wrong and ends the process. */
export function fail(text, exitCode) {
  process.stderr.write(`setup: ${text}\n`);
  process.exit(exitCode);
}

/**
 * Runs a program in the package's folder, says so beforehand, and lets it write to stderr only.
 * @throws Error when it cannot be started or does not end with 0
 */
export function run(program, args, env = {}) {
  say(`${program} ${args.join(' ')}`);
  const { status, signal, error } = spawnSync(program, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 2, 'inherit'],
    shell: process.platform === 'win32', // npm is a .cmd there
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ended with ${signal ?? `exit code ${status}`}`);
}
