/** How answers leave a task command: JSON lines as they come, or a table at the end. */
import type { TaskKind } from '../model/templates.ts';
import { formatCount } from './format.ts';
import type { OutputOptions } from './options.ts';
import type { SessionStats } from './session.ts';
import { openJsonLines } from './sink.ts';
import { type Question, runTask, type TaskFlags, type Verdict } from './task-run.ts';

/** How one task prints. */
export interface Printing {
  /** One line of JSON per verdict. */
  readonly line: (verdict: Verdict) => object;
  /** The table of all verdicts, in the order of the questions. */
  readonly table: (verdicts: readonly Verdict[]) => string;
}

const summary = ({ tokens, seconds }: SessionStats, answers: number): string =>
  `${answers} answers, ${formatCount(tokens)} tokens in ${seconds.toFixed(2)} s, ${formatCount(tokens / seconds)} tokens/s\n`;

/** Runs a task on its questions and prints what it found. */
export async function answer(
  kind: TaskKind, flags: TaskFlags & OutputOptions, questions: readonly Question[], printing: Printing,
): Promise<void> {
  const lines = await openJsonLines(flags);
  const verdicts = new Map<string, Verdict>();
  try {
    const stats = await runTask(kind, flags, questions, async (verdict) => {
      verdicts.set(verdict.id, verdict);
      await lines.write(printing.line(verdict));
    });
    if (lines.wanted) return;
    const inOrder = questions.flatMap(({ id }) => verdicts.get(id) ?? []);
    process.stdout.write(`${printing.table(inOrder)}\n${summary(stats, inOrder.length)}`);
  } finally {
    await lines.close();
  }
}
