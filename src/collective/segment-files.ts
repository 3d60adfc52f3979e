/**
 * Where segments live and how none is left behind: a name carries run, owner's pid and the time the owner started
 * (a pid alone may have been given to another process since), so that the files of dead runs can be told from live ones.
 */
import { existsSync, readFileSync, readdirSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const NAME = /^asyncep-([0-9a-z]+)-(\d+)-(\d+)-r(\d+)(?:\.seg(\.tmp)?|-to\d+\.box|\.sock)$/;

/** `ASYNCEP_SEGMENT_DIR` if set, else /dev/shm where there is one, else the temporary folder. */
export function segmentFolder(): string {
  const chosen = process.env['ASYNCEP_SEGMENT_DIR'];
  if (chosen !== undefined && chosen !== '') return chosen;
  return existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
}

/** Clock ticks after boot at which a process started, or '0' where the system does not say or the process is gone. */
export function processStartTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // Field 2 is the command in brackets and may hold blanks; field 22 counts from the start of the line.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '0';
  } catch {
    return '0';
  }
}

/** Path of this process's segment in run `runId` (letters and digits only). */
export function segmentPath(runId: string, rank: number, folder: string = segmentFolder()): string {
  return join(folder, `asyncep-${runId}-${process.pid}-${processStartTime(process.pid)}-r${rank}.seg`);
}

/** Path of the file through which this process's rank sends to `peer`. */
export const outboxPath = (runId: string, rank: number, peer: number, folder?: string): string =>
  segmentPath(runId, rank, folder).replace(/\.seg$/, `-to${peer}.box`);

/** Path of the socket on which this process's rank listens. */
export const socketPath = (runId: string, rank: number, folder?: string): string => segmentPath(runId, rank, folder).replace(/\.seg$/, '.sock');

function ownerIsAlive(pid: number, startTime: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return startTime === '0' || processStartTime(pid) === startTime;
}

function removeMatching(folder: string, isGone: (match: RegExpExecArray) => boolean): string[] {
  const removed: string[] = [];
  for (const name of readdirSync(folder)) {
    const match = NAME.exec(name);
    if (match === null || !isGone(match)) continue;
    try {
      unlinkSync(join(folder, name));
      removed.push(join(folder, name));
    } catch {
      // Another user's, or swept by someone else in this moment: not ours to report.
    }
  }
  return removed;
}

/** Removes the segments of processes that are no more. @returns the paths removed */
export function sweepStaleSegments(folder: string = segmentFolder()): string[] {
  return removeMatching(folder, (match) => !ownerIsAlive(Number(match[2]), match[3] as string));
}

/** Removes every segment of one run, once its processes have ended. @returns the paths removed */
export function removeRunSegments(runId: string, folder: string = segmentFolder()): string[] {
  return removeMatching(folder, (match) => match[1] === runId);
}

const guarded = new Set<string>();
let installed = false;

function unlinkGuarded(): void {
  for (const path of guarded) {
    try {
      unlinkSync(path);
    } catch {
      // Never written, or gone already.
    }
  }
  guarded.clear();
}

function installGuard(): void {
  installed = true;
  // 'exit' also follows an uncaught error; a signal without a listener ends the process without it.
  process.on('exit', unlinkGuarded);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const handler = (): void => {
      unlinkGuarded();
      process.off(signal, handler);
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    };
    process.on(signal, handler);
  }
}

/** From now on `path` is removed when this process ends by exit, uncaught error or signal (SIGKILL leaves it to the sweep). */
export function guardSegment(path: string): void {
  if (!installed) installGuard();
  guarded.add(path);
}

/** `path` is gone or no longer this process's. */
export function forgetSegment(path: string): void {
  guarded.delete(path);
}
