/** Step 3: which adapters there are, asked in a process of its own (a driver that crashes must not take the set-up with it). */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root, say } from './say.mjs';

const PROBE_TIMEOUT_MS = 60_000;

/** The adapters on which a device could be made, as `src/node/probe.ts` reports them. */
export async function probe() {
  const { status, stdout, signal, error } = spawnSync(process.execPath, [join(root, 'dist/node/probe.js')], {
    encoding: 'utf8',
    timeout: PROBE_TIMEOUT_MS,
    maxBuffer: 16 * 2 ** 20,
  });
  if (error || status !== 0) {
    say(`looking for adapters ended with ${error?.message ?? signal ?? `exit code ${status}`}`);
    return [];
  }
  return JSON.parse(stdout).filter(({ problem }) => problem === undefined);
}
