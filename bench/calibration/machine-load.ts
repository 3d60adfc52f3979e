/** How much of the machine other programs (and, on a virtual machine, its neighbours) took. Linux only: it reads /proc. */
import { existsSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { processCpuMs } from '../serving/process-cpu.ts';

const TICK_MS = 10;

/** CPU time that all cores were not idle, stolen time included. */
function busyMs(): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, soft = 0, stolen = 0] = (readFileSync('/proc/stat', 'latin1').split('\n', 1)[0] as string).trim().split(/\s+/).map(Number);
  return TICK_MS * (user + nice + system + irq + soft + stolen);
}

/** What a span of time looked like. */
export interface MachineLoad {
  /** Of all cores' time, the share that others took; null where there is no /proc. */
  readonly othersShare: number | null;
  /** CPU time of the processes asked about and of this one. */
  readonly cpuMs: number;
}

/** Starts a span; the function that is returned ends it. */
export function watchLoad(pids: readonly number[]): () => MachineLoad {
  const { user, system } = process.cpuUsage();
  if (!existsSync('/proc/stat')) return () => ({ othersShare: null, cpuMs: NaN });
  const own = (): number => pids.reduce((sum, pid) => sum + processCpuMs(pid), 0);
  const [busyBefore, ownBefore, startMs] = [busyMs(), own(), performance.now()];
  return () => {
    const here = process.cpuUsage();
    const cpuMs = own() - ownBefore + (here.user - user + here.system - system) / 1000;
    const others = (busyMs() - busyBefore - cpuMs) / ((performance.now() - startMs) * cpus().length);
    return { othersShare: Math.max(0, others), cpuMs };
  };
}

/** How long others are watched before a run. */
const WINDOW_MS = 250;

/** Waits until others take at most `share` of the cores, but no longer than `patienceMs`. @param pids of ranks that are open but at rest */
export async function waitForCalm(pids: readonly number[], share: number, patienceMs: number): Promise<void> {
  for (const startMs = performance.now(); performance.now() - startMs < patienceMs;) {
    const end = watchLoad(pids);
    await sleep(WINDOW_MS);
    if ((end().othersShare ?? 0) <= share) return;
  }
}
