/** CPU time of other processes. */
import { readFileSync } from 'node:fs';

/** Linux counts in hundredths of a second, whatever the clock of the kernel (USER_HZ). */
const TICK_MS = 10;

/** Of all its threads since it was started, the kernel's share included. */
export function processCpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // Field 2 is the command in brackets and may hold blanks; fields 14 and 15 count from the start of the line.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return TICK_MS * (Number(fields[11]) + Number(fields[12]));
}
