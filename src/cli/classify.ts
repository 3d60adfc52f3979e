/** `asyncep classify`: one label for each text. */
import type { Command } from 'commander';
import { answer } from './answers.ts';
import { formatPercent } from './format.ts';
import { readRecords, withIds } from './input.ts';
import { commaList, type OutputOptions, withOutputOptions, withRunOptions } from './options.ts';
import { documentRecord } from './schemas.ts';
import { newTable } from './table.ts';
import { type TaskFlags, type Verdict, withTaskOptions } from './task-run.ts';

const EXAMPLES = `
Input: plain text (a file is one text), or JSON lines with "text" and, if wanted, "id"; - is stdin.
A template sees all fields of a line, and "labels".

Examples:
  $ asyncep classify --model models/spam-mail --template models/spam-mail/template.jinja --labels spam,ham mail.txt
  $ asyncep classify --model DIR --labels good,bad --ranks 2 --json reviews.jsonl > answers.jsonl
  $ cat mail.txt | asyncep classify --model DIR --labels spam,ham -`;

/** Adds the command to the program. */
export function addClassify(program: Command): void {
  const command = program.command('classify')
    .description('choose one of several labels for each text')
    .argument('<file...>', 'texts or JSON lines; - for stdin')
    .requiredOption('--labels <a,b,...>', 'the labels, each one token of the model', commaList);
  withOutputOptions(withTaskOptions(withRunOptions(command)))
    .addHelpText('after', EXAMPLES)
    .action(classify);
}

async function classify(files: string[], flags: TaskFlags & OutputOptions): Promise<void> {
  const questions = withIds(await readRecords(files, { schema: documentRecord, fromText: (text) => ({ text }) }));
  await answer('classify', flags, questions, { line: (verdict) => verdict, table });
}

function table(verdicts: readonly Verdict[]): string {
  const rows = newTable(['text', 'answer', 'probability']);
  for (const { id, answer: label, probability } of verdicts) rows.push([id, label, formatPercent(probability)]);
  return rows.toString();
}
