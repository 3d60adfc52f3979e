/** `asyncep verify`: whether evidence supports a claim. */
import type { Command } from 'commander';
import { answer } from './answers.ts';
import { formatPercent, oneLine } from './format.ts';
import { type InputRecord, readRecords, withIds } from './input.ts';
import { type OutputOptions, withOutputOptions, withRunOptions } from './options.ts';
import { type ClaimRecord, claimRecord } from './schemas.ts';
import { newTable } from './table.ts';
import { type TaskFlags, type Verdict, withAnswerLabels, withTaskOptions } from './task-run.ts';

const EXAMPLES = `
Input: JSON lines with "claim" and "evidence" and, if wanted, "id". With --claim, files of plain text are evidence.

Examples:
  $ asyncep verify --model DIR claims.jsonl
  $ asyncep verify --model DIR --claim "The train was late." report.txt`;

interface VerifyFlags extends TaskFlags, OutputOptions {
  readonly claim?: string;
}

/** Adds the command to the program. */
export function addVerify(program: Command): void {
  const command = program.command('verify')
    .description('tell whether evidence supports a claim')
    .argument('<file...>', 'JSON lines of claims with their evidence, or evidence as text; - for stdin')
    .option('--claim <text>', 'the claim, when the files are evidence only');
  withOutputOptions(withAnswerLabels(withTaskOptions(withRunOptions(command))))
    .addHelpText('after', EXAMPLES)
    .action(verify);
}

async function verify(files: string[], flags: VerifyFlags): Promise<void> {
  const { claim } = flags;
  const fromText = claim === undefined ? {} : { fromText: (evidence: string) => ({ claim, evidence }) };
  const questions = withIds(await readRecords(files, { schema: claimRecord, ...fromText }));
  const positive = flags.labels?.[0] ?? 'yes';
  const support = ({ probabilities }: Verdict): number => probabilities[positive] ?? 0;
  await answer('verify', flags, questions, {
    line: (verdict) => ({ id: verdict.id, supported: verdict.answer === positive, probability: support(verdict) }),
    table: (verdicts) => table(verdicts, support, questions),
  });
}

function table(
  verdicts: readonly Verdict[], support: (verdict: Verdict) => number, questions: readonly (InputRecord<ClaimRecord> & { id: string })[],
): string {
  const claims = new Map(questions.map(({ id, value }) => [id, value.claim]));
  const rows = newTable(['', 'claim', 'answer', 'supported']);
  for (const verdict of verdicts) {
    rows.push([verdict.id, oneLine(claims.get(verdict.id) ?? '', 60), verdict.answer, formatPercent(support(verdict))]);
  }
  return rows.toString();
}
