/** What can happen to a rank, done to a real one; and what must be left of a cluster afterwards: nothing. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { ClusterOptions } from '../../src/cluster/index.ts';

/** The process is killed, or stopped for ever; or all its links to peers are cut (`hosts` of {@link CUTTABLE}). */
export type Fault = 'kill' | 'stop' | 'cut';

const SIGNALS = { kill: 'SIGKILL', stop: 'SIGSTOP', cut: 'SIGUSR2' } as const;

/** A place whose ranks' links can be cut. */
export const CUTTABLE: NonNullable<ClusterOptions['hosts']> = [
  { address: '127.0.0.1', command: ['env', `NODE_OPTIONS=--import=${new URL('./cut-links.mjs', import.meta.url).href}`] },
];

export const strike = (fault: Fault, pid: number): void => void process.kill(pid, SIGNALS[fault]);

/** State and parent of a process; undefined when it is gone. */
function statOf(pid: number): { readonly state: string; readonly parent: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state = '', parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

export const isAlive = (pid: number): boolean => (statOf(pid)?.state ?? 'Z') !== 'Z';

/** Ranks that `parent` has started, in the order of their birth. */
export function ranksOf(parent: number): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number);
  return pids.filter((pid) => {
    const stat = statOf(pid);
    if (stat?.parent !== parent || stat.state === 'Z') return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('rank-main');
    } catch {
      return false;
    }
  }).toSorted((a, b) => a - b);
}

/** A folder for the segments of this test file's clusters. */
export function segmentsOfTheirOwn(): () => string[] {
  const folder = mkdtempSync(join(tmpdir(), 'asyncep-test-'));
  process.env['ASYNCEP_SEGMENT_DIR'] = folder;
  afterAll(() => rmSync(folder, { recursive: true }));
  return () => readdirSync(folder);
}

/** `ASYNCEP_TEST_SEED` repeats a run. */
export const seed = Number(process.env['ASYNCEP_TEST_SEED'] ?? Date.now() % 1_000_000);

/** Whole numbers below a bound, the same for the same seed and name. */
export function chance(name: string): (below: number) => number {
  let state = [...name].reduce((hash, letter) => (Math.imul(hash, 31) + letter.charCodeAt(0)) >>> 0, seed);
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return ((state ^ (state >>> 12)) >>> 0) % below;
  };
}
