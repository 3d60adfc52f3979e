/** `asyncep rerank`: candidates for a query, ordered by the probability that they fit. */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { InputError } from '../errors.ts';
import { answer } from './answers.ts';
import { formatPercent, oneLine } from './format.ts';
import { readRecords, withIds } from './input.ts';
import { type OutputOptions, withOutputOptions, withRunOptions } from './options.ts';
import { documentRecord } from './schemas.ts';
import { newTable } from './table.ts';
import { type Question, type TaskFlags, type Verdict, withAnswerLabels, withTaskOptions } from './task-run.ts';

const EXAMPLES = `
Every candidate becomes a yes-or-no question of its own, and all of them run as one batch.
Input: JSON lines with "text" (a candidate) and, if wanted, "id"; or files of plain text, one candidate each.
With --json and --output the lines come as passes end; sort them by "probability".

Examples:
  $ asyncep rerank --model DIR --query "quiet keyboards" products.jsonl
  $ asyncep rerank --model DIR --query-file profile.txt --template fit.jinja --json jobs.jsonl`;

interface RerankFlags extends TaskFlags, OutputOptions {
  readonly query?: string;
  readonly queryFile?: string;
}

/** Adds the command to the program. */
export function addRerank(program: Command): void {
  const command = program.command('rerank')
    .description('order candidates by how well they fit a query or profile')
    .argument('<file...>', 'candidates: JSON lines or texts; - for stdin')
    .option('--query <text>', 'what the candidates should fit')
    .option('--query-file <file>', 'the same from a file');
  withOutputOptions(withAnswerLabels(withTaskOptions(withRunOptions(command))))
    .addHelpText('after', EXAMPLES)
    .action(rerank);
}

async function queryOf({ query, queryFile }: RerankFlags): Promise<string> {
  if ((query === undefined) === (queryFile === undefined)) {
    throw new InputError('rerank', '--query', 'expected either --query or --query-file');
  }
  const text = query ?? await readFile(queryFile ?? '', 'utf8').catch(() => {
    throw new InputError('--query-file', queryFile ?? '', 'cannot be read');
  });
  if (text.trim() === '') throw new InputError(queryFile ?? '--query', '', 'is empty; expected a text');
  return text;
}

async function rerank(files: string[], flags: RerankFlags): Promise<void> {
  const query = await queryOf(flags);
  const documents = withIds(await readRecords(files, { schema: documentRecord, fromText: (text) => ({ text }) }));
  const questions = documents.map((document): Question => ({
    ...document,
    value: { ...document.value, query, candidate: document.value.text },
  }));
  const texts = new Map(documents.map(({ id, value }) => [id, value.text]));
  const positive = flags.labels?.[0] ?? 'yes';
  const fit = ({ probabilities }: Verdict): number => probabilities[positive] ?? 0;
  await answer('rerank', flags, questions, {
    line: (verdict) => ({ id: verdict.id, probability: fit(verdict) }),
    table: (verdicts) => table(verdicts.toSorted((a, b) => fit(b) - fit(a)), fit, texts),
  });
}

function table(verdicts: readonly Verdict[], fit: (verdict: Verdict) => number, texts: ReadonlyMap<string, string>): string {
  const rows = newTable(['', 'candidate', 'text', 'fits']);
  verdicts.forEach((verdict, index) => {
    rows.push([String(index + 1), verdict.id, oneLine(texts.get(verdict.id) ?? '', 60), formatPercent(fit(verdict))]);
  });
  return rows.toString();
}
