/**
 * The output of a batch run, as a file. Lines are appended whole, so what a killed run leaves is a number of whole lines and at most one torn one at
 * the end. They are the system's as soon as they are written (the end of the process does not touch them) and on the disk (fdatasync) about a
 * second later, and before the run ends: a power cut costs the answers of the last second, which `--resume` asks again.
 */
import { createReadStream } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { InputError } from '../../errors.ts';
import { AnsweredLines } from './answered-lines.ts';
import { type EarlierAnswers, readEarlierAnswers } from './earlier-answers.ts';

/** What to do with an output that exists: refuse it, go on with it, or begin anew. */
export type OutputMode = 'new' | 'resume' | 'overwrite';

export interface AnswerSink {
  /** Resolves when the line has been handed to the system. */
  write(line: string): Promise<void>;
  /** Everything is on the disk. */
  close(): Promise<void>;
}

export interface AnswerFile {
  readonly earlier: EarlierAnswers;
  /** From here on the file is changed: emptied, or rid of its torn end. */
  begin(): Promise<AnswerSink>;
  close(): Promise<void>;
}

const SYNC_EVERY_MS = 1000;

const noAnswers = (): EarlierAnswers => ({ answered: new AnsweredLines(), failed: 0, wholeBytes: 0 });

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.length) written += (await file.write(bytes, written)).bytesWritten;
}

/** Lines that come while others are being written are written together by the next call. An error stays: everything after it fails, too. */
function appender(file: FileHandle, isRegular: boolean): AnswerSink {
  let pending: string[] = [];
  let batch: Promise<void> | undefined;
  let last: Promise<void> = Promise.resolve();
  let dirty = false;
  async function writePending(): Promise<void> {
    const lines = pending;
    [pending, batch] = [[], undefined];
    await writeAll(file, Buffer.from(lines.join('')));
    dirty = isRegular;
  }
  async function sync(): Promise<void> {
    if (dirty) await file.datasync();
    dirty = false;
  }
  const timer = setInterval(() => {
    last = last.then(sync);
    last.catch(() => {}); // told to whoever writes next
  }, SYNC_EVERY_MS);
  return {
    write(line) {
      pending.push(`${line}\n`);
      return (batch ??= last = last.then(writePending));
    },
    async close() {
      clearInterval(timer);
      await last.then(sync);
    },
  };
}

async function openForAppending(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'a');
  } catch (error) {
    throw new InputError('--output', path, `cannot be written (${(error as NodeJS.ErrnoException).code}); expected a file in a folder that exists`);
  }
}

/** @throws InputError when both are the same file */
async function refuseSameFile(path: string, input: string | undefined): Promise<void> {
  const [output, source] = await Promise.all([path, input ?? ''].map((file) => stat(file).catch(() => undefined)));
  if (output !== undefined && source !== undefined && output.ino === source.ino && output.dev === source.dev) {
    throw new InputError('--output', path, 'is the input; expected another file');
  }
}

/**
 * Opens the output without changing what is in it.
 * @param input path of the input, which must be another file
 * @throws InputError when it cannot be written, has lines that were not expected, or lines that cannot be gone on with
 */
export async function openAnswerFile(path: string, mode: OutputMode, input?: string): Promise<AnswerFile> {
  await refuseSameFile(path, input);
  const file = await openForAppending(path);
  try {
    const info = await file.stat();
    if (mode === 'new' && info.isFile() && info.size > 0) {
      throw new InputError('--output', path, 'exists; expected --resume to go on with it, or --overwrite to begin anew');
    }
    const earlier = mode === 'resume' && info.isFile() ? await readEarlierAnswers(createReadStream(path), path) : noAnswers();
    return {
      earlier,
      async begin() {
        if (info.isFile()) await file.truncate(earlier.wholeBytes);
        return appender(file, info.isFile());
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Answers to stdout, for `-`. */
export const stdoutSink = (): AnswerSink => ({
  write: (line) => new Promise((resolve, reject) => void process.stdout.write(`${line}\n`, (error) => (error ? reject(error) : resolve()))),
  close: async () => {},
});
