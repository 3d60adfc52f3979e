/** The input of a batch run: its lines that still want an answer. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { InputError } from '../../errors.ts';
import type { AnsweredLines } from './answered-lines.ts';
import { checkAnswered } from './earlier-answers.ts';
import { parseLine } from './format.ts';
import { type TextLine, textLines } from './text-lines.ts';

/** @returns size in bytes; null for what has none (a pipe) */
export async function inputBytes(path: string): Promise<number | null> {
  if (path === '-') return null;
  const info = await stat(path).catch(() => undefined);
  if (info === undefined) throw new InputError('--input', path, 'no such file');
  if (info.isDirectory()) throw new InputError('--input', path, 'is a folder; expected a file of requests, one a line, or - for stdin');
  return info.isFile() ? info.size : null;
}

/** Its bytes from the beginning; `-` is stdin. */
export const openInput = (path: string): Readable => (path === '-' ? process.stdin : createReadStream(path, { highWaterMark: 2 ** 18 }));

export const inputName = (path: string): string => (path === '-' ? 'stdin' : path);

const isBlank = ({ text }: TextLine): boolean => text !== null && text.trim() === '';

/** @throws InputError when a whole file of such lines would be no input */
function refuseOtherFormats({ text, problem, line }: TextLine, name: string): void {
  const parsed = text === null ? { request: null, problem } : parseLine(text);
  if (parsed.request !== null) return;
  throw new InputError(name, `line ${line}`, `${parsed.problem}; expected requests as in OpenAI's batch files: {"custom_id": ..., "method": "POST", "url": ..., "body": {...}}`);
}

/**
 * Reads an input line by line, leaving out blank lines and answered ones.
 * @throws InputError when the first line is no request, there is none, or an answered line has another custom_id now
 */
export async function* linesToAnswer(source: AsyncIterable<Uint8Array>, answered: AnsweredLines, name: string): AsyncGenerator<TextLine> {
  let isFirst = true;
  for await (const line of textLines(source)) {
    if (isBlank(line)) continue;
    if (isFirst) refuseOtherFormats(line, name);
    isFirst = false;
    if (answered.has(line.line)) checkAnswered(answered, line, name);
    else yield line;
  }
  if (isFirst) throw new InputError(name, '', 'is empty; expected requests, one a line');
}
