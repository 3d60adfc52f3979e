/** What `classify`, `rerank` and `verify` share: from records to probabilities of the labels. */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { InputError } from '../errors.ts';
import { createTask, softmax, type Task, type TaskRecord } from '../model/tasks.ts';
import type { TaskKind } from '../model/templates.ts';
import { type InputRecord, whereIs } from './input.ts';
import { type ChosenModel, chooseModel } from './model-source.ts';
import { commaList, type RunOptions, wholeNumber } from './options.ts';
import { createProgress } from './progress.ts';
import { openSession, type Sequence, type Session, type SessionStats } from './session.ts';
import { checkTraceFile, saveTrace } from './trace-file.ts';

/** Flags of the three tasks. */
export interface TaskFlags extends RunOptions {
  readonly labels?: readonly string[];
  readonly template?: string;
  readonly chat?: true;
  readonly maxTokens?: number;
}

/** Adds `--template`, `--chat` and `--max-tokens`; `--labels` differ in meaning and are the command's own. */
export const withTaskOptions = (command: Command): Command => command
  .option('--template <file>', 'Jinja template of the prompt, instead of the built-in one')
  .option('--chat', 'put the prompt into the model\'s chat template')
  .option('--max-tokens <n>', 'shorten texts until a prompt has at most so many tokens', wholeNumber(1));

/** Labels of `rerank` and `verify`. */
export const withAnswerLabels = (command: Command): Command =>
  command.option('--labels <yes,no>', 'the positive answer and the negative one', commaList);

/** A record that is ready to be asked about. */
export type Question = InputRecord<TaskRecord> & { readonly id: string };

/** The answer to one record. */
export interface Verdict {
  readonly id: string;
  /** The most probable label. */
  readonly answer: string;
  /** Its probability among the labels. */
  readonly probability: number;
  readonly probabilities: Readonly<Record<string, number>>;
}

/** A prompt with the candidate tokens of its labels. */
interface Asked extends Sequence {
  readonly candidates: readonly number[];
}

async function readTemplate(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  return readFile(path, 'utf8').catch(() => {
    throw new InputError('--template', path, 'cannot be read; expected a file with a Jinja template');
  });
}

/**
 * Opens the tokenizer and compiles the template.
 * @throws InputError for everything that is wrong with model, labels or template
 */
export async function prepareTask(kind: TaskKind, model: ChosenModel, flags: TaskFlags): Promise<Task> {
  const { labels, chat, maxTokens } = flags;
  const template = await readTemplate(flags.template);
  return createTask({
    kind, tokenizer: await model.tokenizer(), config: model.config, labels, template, templateSource: flags.template, labelsSource: '--labels', chat, maxTokens,
  });
}

/** All prompts, made before any device is touched, so that a bad record is refused first. */
export function promptAll(task: Task, questions: readonly Question[]): Asked[] {
  return questions.map((question) => {
    const { tokens, candidates } = task.prompt(question.value, whereIs(question));
    return { id: question.id, tokens: Uint32Array.from(tokens), candidates };
  });
}

function verdict(id: string, labels: readonly string[], logits: Float32Array): Verdict {
  const probabilities = softmax(logits);
  const probability = Math.max(...probabilities);
  const answer = labels[probabilities.indexOf(probability)] ?? '';
  return { id, answer, probability, probabilities: Object.fromEntries(labels.map((label, i) => [label, probabilities[i] ?? 0])) };
}

/** Prompts whose labels are the same tokens, together; nearly always one group. */
const byCandidates = (asked: readonly Asked[]): Asked[][] => {
  const groups = new Map<string, Asked[]>();
  for (const prompt of asked) {
    const key = prompt.candidates.join();
    groups.set(key, [...(groups.get(key) ?? []), prompt]);
  }
  return [...groups.values()];
};

/** Asks an open session; verdicts come as passes end. */
export async function* judge(session: Session, task: Task, asked: readonly Asked[]): AsyncGenerator<Verdict> {
  for (const group of byCandidates(asked)) {
    for await (const { id, logits } of session.answers(group, group[0]?.candidates ?? [])) {
      yield verdict(id, task.labels, logits);
    }
  }
}

/** Hands each verdict to `use` as it comes, and closes everything on every way out. */
export async function runTask(
  kind: TaskKind, flags: TaskFlags, questions: readonly Question[], use: (verdict: Verdict) => Promise<void>,
): Promise<SessionStats> {
  await checkTraceFile(flags.trace);
  const model = await chooseModel(flags);
  const task = await prepareTask(kind, model, flags);
  const asked = promptAll(task, questions);
  const progress = createProgress();
  const session = await openSession(model, flags, progress, flags.trace !== undefined);
  try {
    for await (const answer of judge(session, task, asked)) await use(answer);
    await saveTrace(session, flags.trace);
    return session.stats();
  } finally {
    progress.stop();
    await session.close();
  }
}
