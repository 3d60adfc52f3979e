/** What an earlier run has left in the output: learned before `--resume` goes on. */
import { InputError } from '../../errors.ts';
import { AnsweredLines } from './answered-lines.ts';
import { type BatchAnswer, batchAnswerSchema, isFailure, lineOf, parseLine } from './format.ts';
import { textLines, type TextLine } from './text-lines.ts';

export interface EarlierAnswers {
  readonly answered: AnsweredLines;
  readonly failed: number;
  /** Bytes of whole lines; what follows was torn when the run ended. */
  readonly wholeBytes: number;
}

function parseAnswer(text: string | null): BatchAnswer | undefined {
  try {
    return batchAnswerSchema.safeParse(JSON.parse(text ?? '')).data;
  } catch {
    return undefined;
  }
}

/**
 * Reads an output from its beginning. A last line without an end is left out: its request is asked again.
 * @param name of the output, for messages
 * @throws InputError for a line that no batch run wrote, or a second answer to the same line
 */
export async function readEarlierAnswers(source: AsyncIterable<Uint8Array>, name: string): Promise<EarlierAnswers> {
  const answered = new AnsweredLines();
  let [failed, wholeBytes] = [0, 0];
  for await (const { line, text, terminated, endByte } of textLines(source)) {
    if (!terminated) break;
    const answer = parseAnswer(text);
    if (answer === undefined) throw new InputError(name, `line ${line}`, 'is no answer of a batch run; expected the output of the run that shall go on');
    if (!answered.add(lineOf(answer), answer.custom_id)) throw new InputError(name, `line ${line}`, `answers line ${lineOf(answer)} of the input a second time; expected one answer a line`);
    if (isFailure(answer)) failed++;
    wholeBytes = endByte;
  }
  return { answered, failed, wholeBytes };
}

/**
 * Checks that an answered line of the input is still the one that was answered.
 * @throws InputError when its custom_id is another
 */
export function checkAnswered(answered: AnsweredLines, { line, text }: TextLine, name: string): void {
  const { customId } = parseLine(text ?? '');
  if (answered.matches(line, customId)) return;
  throw new InputError(name, `line ${line}: custom_id`, `${customId === null ? 'is missing' : `"${customId}"`} but the output has an answer for another one; expected the input of the run that shall go on`);
}

/**
 * Checks all answered lines of an input.
 * @throws InputError when one has another custom_id, or is missing
 */
export async function checkInput(source: AsyncIterable<Uint8Array>, answered: AnsweredLines, name: string): Promise<void> {
  let lines = 0;
  if (answered.last === 0) return;
  for await (const line of textLines(source)) {
    lines = line.line;
    if (answered.has(lines)) checkAnswered(answered, line, name);
    if (lines >= answered.last) return;
  }
  throw new InputError(name, '', `has ${lines} lines but the output has an answer for line ${answered.last}; expected the input of the run that shall go on`);
}
