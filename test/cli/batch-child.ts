/** `asyncep batch` over a service without engines, as a process of its own: `batch-child.ts DELAY_MS ROOM FLAGS(JSON)`. */
import { reportFailure } from '../../src/cli/failure.ts';
import { type BatchFlags, runBatchCommand } from '../../src/cli/batch-run.ts';
import { fakeService, find, MODEL } from '../serving/batch/fakes.ts';

if (process.execArgv.some((argument) => argument.startsWith('--max-old-space-size'))) {
  process.on('exit', () => process.stderr.write(`peak of memory: ${process.resourceUsage().maxRSS} KiB\n`));
}
const [delayMs, room, flags] = process.argv.slice(2) as [string, string, string];
try {
  await runBatchCommand(JSON.parse(flags) as BatchFlags, {
    find, room: Number(room),
    open: async () => ({ service: fakeService({ delayMs: Number(delayMs) }), model: MODEL, close: async () => undefined }),
  });
} catch (error) {
  process.exitCode = reportFailure(error, false);
}
