/** `asyncep learn`: the teaching page in a browser, served from this package. */
import { once } from 'node:events';
import { join } from 'node:path';
import type { Command } from 'commander';
import open from 'open';
import { packageRoot } from '../node/shaders.ts';
import { openLearnServer } from './learn-server.ts';
import { isLoopback, portNumber } from './serve-options.ts';
import { loadTrace } from './trace-file.ts';

const EXAMPLES = `
The page draws the schedule, with a guided tour; it takes timelines of real runs, and runs the demo model on the GPU of the browser's machine.

Examples:
  $ asyncep learn
  $ asyncep learn --trace trace-demo.json      # the timeline of a real run in the drawing
  $ asyncep learn --no-open --port 8080        # prints the address and opens nothing`;

interface LearnFlags {
  readonly trace?: string;
  readonly open: boolean;
  readonly host: string;
  readonly port: number;
}

/** Adds the command to the program. */
export function addLearn(program: Command): void {
  program.command('learn')
    .description('open the teaching page: the schedule drawn, a tour, the demo model in a browser tab')
    .option('--trace <file>', 'show the timeline of a real run, as --trace of other commands wrote it')
    .option('--no-open', 'print the address only')
    .option('--host <address>', 'address to listen on; 0.0.0.0 is every one of this machine', '127.0.0.1')
    .option('--port <n>', '0 takes any that is free', portNumber, 0)
    .addHelpText('after', EXAMPLES)
    .action(learn);
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function learn({ trace, open: opens, host, port }: LearnFlags): Promise<void> {
  if (trace !== undefined) await loadTrace(trace); // refused here rather than in the page
  const server = await openLearnServer({ host, port, page: join(packageRoot, 'web/learn/dist'), model: join(packageRoot, 'models/spam-mail'), ...(trace !== undefined && { trace }) });
  const ended = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  say(`${server.url}  (Ctrl-C ends it)`);
  if (!isLoopback(host)) say(`note: ${host} can be reached from other machines; their browsers have WebGPU on pages of https only, so the model runs in browsers of this machine alone`);
  if (opens) await open(server.url).catch((error: Error) => say(`no browser could be started (${error.message}): open the address in one`));
  await ended;
  await server.close();
}
