/** `asyncep batch`: a file of requests as OpenAI's batch API takes it, answered into a file. */
import type { Command } from 'commander';
import { operationAt } from '../serving/operations/index.ts';
import { type BatchFlags, type OpenBackend, runBatchCommand } from './batch-run.ts';
import { chooseModel } from './model-source.ts';
import type { RunOptions } from './options.ts';
import { createProgress } from './progress.ts';
import { openModel, openService } from './serve-open.ts';
import { type RequestFlags, type SchedulingFlags, servingFlags, withRequestOptions, withSchedulingOptions } from './serve-options.ts';
import { recordTrace, tellChanges } from './serve-watch.ts';
import { checkTraceFile } from './trace-file.ts';

interface Flags extends BatchFlags, RunOptions, SchedulingFlags, RequestFlags {}

const EXAMPLES = `
Input: a request a line, {"custom_id": "a", "method": "POST", "url": "/v1/classify", "body": {...}}; urls and bodies are those of asyncep serve.
Output: an answer a line, in the order in which they come: {"id": "batch_req_LINE", "custom_id", "response": {"status_code", "request_id", "body"}, "error"}.
A line that is no request gets an "error", a request that cannot be answered a "response" with the status that a server would give.

Answers are appended as whole lines: after kill -9 or Ctrl-C the same command with --resume goes on, asks what has no answer, and nothing twice. Lines that are
removed from the output are asked again. About once a second the output is forced to the disk.

Exit codes: 0 every line was answered, 1 some lines failed (each has its answer all the same) or the engines did, 130 stopped by a signal.

Examples:
  $ asyncep batch --model models/spam-mail --input requests.jsonl --output answers.jsonl
  $ asyncep batch --model DIR --ranks 4 --input requests.jsonl --output answers.jsonl --resume
  $ zcat requests.jsonl.gz | asyncep batch --model DIR --input - --output - | gzip > answers.jsonl.gz`;

/** Adds the command to the program. */
export function addBatch(program: Command): void {
  const command = program.command('batch')
    .description('answer a file of requests, in the format of OpenAI\'s batch API')
    .requiredOption('--input <file>', 'requests, one a line; - is stdin')
    .requiredOption('--output <file>', 'where answers go, one a line; - is stdout')
    .option('--resume', 'go on with an output that a run before has left')
    .option('--overwrite', 'begin anew although the output exists');
  withRequestOptions(withSchedulingOptions(command))
    .addHelpText('after', EXAMPLES)
    .action((flags: Flags, command: Command) => batch(servingFlags(flags, command)));
}

async function batch(flags: Flags): Promise<void> {
  await checkTraceFile(flags.trace);
  const chosen = await chooseModel(flags);
  const model = await openModel(chosen, flags);
  await runBatchCommand(flags, { find: operationAt, room: flags.maxQueue, open: () => open() });

  async function open(): Promise<OpenBackend> {
    const opened = await openService(chosen, flags, createProgress(), flags.trace !== undefined);
    if (opened.warning !== null) process.stderr.write(`note: ${opened.warning}\n`);
    const recorded = recordTrace(opened, flags.trace);
    tellChanges(opened);
    return {
      service: opened.service, model,
      async close() {
        await opened.service.close();
        await recorded.save();
      },
    };
  }
}
