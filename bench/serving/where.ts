/** The first lines of a result. */
import { cpus, loadavg } from 'node:os';
import { commit } from '../rig.ts';

/** Prints when, how and where a bench runs, and what else the machine does. */
export function printWhere(script: string): void {
  const flags = process.argv.slice(2);
  console.log(`date     ${new Date().toISOString().slice(0, 10)}`);
  console.log(`command  npm run ${[script, ...(flags.length > 0 ? ['--', ...flags] : [])].join(' ')}`);
  console.log(`commit   ${commit()}`);
  console.log(`machine  ${cpus()[0]?.model.trim()} x ${cpus().length}; Node ${process.version}; load before the start ${loadavg().map((load) => load.toFixed(1)).join(' ')} (1, 5, 15 minutes)`);
}
