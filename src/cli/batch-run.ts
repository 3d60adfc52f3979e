/** What `asyncep batch` does, with the engines and the operations handed to it. */
import type { Readable } from 'node:stream';
import { AsyncepError, InputError } from '../errors.ts';
import { type AnswerFile, openAnswerFile, type OutputMode, stdoutSink } from '../serving/batch/answer-file.ts';
import type { FindOperation } from '../serving/batch/answer-line.ts';
import { AnsweredLines } from '../serving/batch/answered-lines.ts';
import { checkInput } from '../serving/batch/earlier-answers.ts';
import { inputBytes, inputName, linesToAnswer, openInput } from '../serving/batch/input-lines.ts';
import { type BatchObserver, type BatchService, runBatch } from '../serving/batch/run.ts';
import type { TextLine } from '../serving/batch/text-lines.ts';
import type { ServedModel } from '../serving/operations/operation.ts';
import { type BatchProgress, createBatchProgress } from './batch-progress.ts';
import { BatchTally } from './batch-tally.ts';

export interface BatchFlags {
  readonly input: string;
  readonly output: string;
  readonly resume?: true;
  readonly overwrite?: true;
}

/** Engines with a service before them. */
export interface OpenBackend {
  readonly service: BatchService;
  readonly model: ServedModel;
  close(): Promise<void>;
}

/** What answers, once it is needed. */
export interface BatchBackend {
  readonly find: FindOperation;
  /** Starts the engines. */
  open(): Promise<OpenBackend>;
  /** Requests that the service's queue takes. */
  readonly room: number;
}

/** A signal ended the run before its input. */
export class BatchStoppedError extends AsyncepError {
  override readonly exitCode = 130;
  override name = 'BatchStoppedError';
}

/** The run is over, and some lines have a failure for an answer. */
export class FailedLinesError extends AsyncepError {
  override name = 'FailedLinesError';
}

function modeOf({ output, resume, overwrite }: BatchFlags): OutputMode {
  if (resume && overwrite) throw new InputError('--resume', '', 'has no use with --overwrite; expected one of them');
  if (output === '-' && (resume || overwrite)) throw new InputError(resume ? '--resume' : '--overwrite', '', 'has no use with --output -; expected a file');
  return resume ? 'resume' : overwrite ? 'overwrite' : 'new';
}

interface Opened {
  readonly source: Readable;
  readonly totalBytes: number | null;
  readonly file: AnswerFile | undefined;
}

/** Opens both ends and compares them; nothing is changed yet. */
async function openFiles(flags: BatchFlags): Promise<Opened> {
  const mode = modeOf(flags);
  const totalBytes = await inputBytes(flags.input);
  const file = flags.output === '-' ? undefined : await openAnswerFile(flags.output, mode, flags.input === '-' ? undefined : flags.input);
  try {
    // What comes through a pipe comes once: there, lines are compared on their way.
    if (file !== undefined && totalBytes !== null) await checkInput(openInput(flags.input), file.earlier.answered, inputName(flags.input));
  } catch (error) {
    await file?.close();
    throw error;
  }
  return { source: openInput(flags.input), totalBytes, file };
}

async function* withFirst(first: TextLine, rest: AsyncGenerator<TextLine>): AsyncGenerator<TextLine> {
  yield first;
  yield* rest;
}

/** The first signal lets passes finish, the second one does not wait for them. */
function watchSignals(source: Readable, progress: BatchProgress): { stop: AbortSignal; abandon: AbortSignal; unwatch: () => void } {
  const [stop, abandon] = [new AbortController(), new AbortController()];
  const onSignal = (): void => {
    if (stop.signal.aborted) return abandon.abort();
    progress.say('stopping: passes under way are being finished; once more to give them up');
    stop.abort();
    source.destroy();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  return {
    stop: stop.signal, abandon: abandon.signal,
    unwatch: () => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
    },
  };
}

const howToGoOn = ({ output }: BatchFlags): string =>
  (output === '-' ? 'lines without an answer have to be asked again' : 'the same command with --resume goes on');

/** Runs the lines on engines that are there. */
async function answerLines(lines: AsyncIterable<TextLine>, serving: OpenBackend, backend: BatchBackend, tally: BatchTally, { flags, opened }: { flags: BatchFlags; opened: Opened }): Promise<void> {
  const sink = await opened.file?.begin() ?? stdoutSink();
  const progress = createBatchProgress(opened.totalBytes, tally);
  const { stop, abandon, unwatch } = watchSignals(opened.source, progress);
  const observer: BatchObserver = {
    request: (request, answer) => tally.request(request, answer),
    written(line, answer) {
      tally.line(answer);
      progress.reached(line.endByte);
    },
  };
  let complete: boolean;
  try {
    complete = await runBatch({ lines, sink, find: backend.find, service: serving.service, model: serving.model, room: backend.room, stop, abandon, observer });
  } catch (error) {
    progress.say(`not every line has its answer: ${howToGoOn(flags)}`);
    throw error;
  } finally {
    unwatch();
    progress.stop();
    await sink.close();
  }
  if (!complete) throw new BatchStoppedError(`stopped: ${howToGoOn(flags)}`);
}

/** Starts the engines, and ends them on every way out. */
async function answerAll(lines: AsyncIterable<TextLine>, backend: BatchBackend, tally: BatchTally, files: { flags: BatchFlags; opened: Opened }): Promise<void> {
  const serving = await backend.open();
  tally.start();
  try {
    await answerLines(lines, serving, backend, tally, files);
  } finally {
    process.stderr.write(`${tally.summary()}\n`);
    await serving.close();
  }
}

/**
 * Answers every line of the input once.
 * @throws InputError for files that cannot be used, before any engine is started; BatchStoppedError after a signal; FailedLinesError when all lines
 * have an answer but some are failures
 */
export async function runBatchCommand(flags: BatchFlags, backend: BatchBackend): Promise<void> {
  const opened = await openFiles(flags);
  const { answered, failed } = opened.file?.earlier ?? { answered: new AnsweredLines(), failed: 0 };
  const tally = new BatchTally(answered.count, failed);
  try {
    const lines = linesToAnswer(opened.source, answered, inputName(flags.input));
    const first = await lines.next();
    if (first.done === true) process.stderr.write(`${tally.summary()}\n`);
    else await answerAll(withFirst(first.value, lines), backend, tally, { flags, opened });
  } finally {
    opened.source.destroy();
    await opened.file?.close();
  }
  if (tally.failed > 0) throw new FailedLinesError(`${tally.failed} of ${tally.lines} lines failed; their answers say why`);
}
