/** Tasks of requests: compiled once for the labels and template that come with them, and asked for the probabilities of their labels. */
import * as z from 'zod';
import { InputError } from '../../errors.ts';
import { createTask, softmax, type Task, type TaskRecord } from '../../model/tasks.ts';
import { TASKS, type TaskKind } from '../../model/templates.ts';
import type { ServingRequest } from '../requests.ts';
import { askAll, checkedTokens, prepare, refuseLong, usageOf, type usageSchema } from './asking.ts';
import { labelsField } from './fields.ts';
import type { OperationContext, ServedModel } from './operation.ts';

/** Compiled tasks of a model: labels and templates of requests are anybody's, so only the last ones are kept. */
const MAX_TASKS = 64;
const compiled = new WeakMap<ServedModel, Map<string, Task>>();

export interface TaskChoice {
  readonly kind: TaskKind;
  readonly labels?: readonly string[] | null | undefined;
  readonly template?: string | null | undefined;
  /** Shortens the text until the prompt has at most so many tokens; -1: as many as the server takes. */
  readonly truncateTo?: number | null | undefined;
  /** What messages call labels and template. */
  readonly labelsSource?: string;
  readonly templateSource?: string;
}

/**
 * The task of a request.
 * @throws InputError for labels and templates that cannot be used
 */
export function taskFor(choice: TaskChoice, model: ServedModel): Task {
  const { kind, labels, template, truncateTo, labelsSource = 'labels', templateSource = 'template' } = choice;
  const tasks = compiled.get(model) ?? new Map<string, Task>();
  compiled.set(model, tasks);
  const maxTokens = truncateTo == null ? undefined : truncateTo === -1 ? model.maxPromptTokens : truncateTo;
  if (maxTokens !== undefined && (maxTokens < 1 || maxTokens > model.maxPromptTokens)) {
    throw new InputError('truncate_prompt_tokens', '', `${maxTokens}; expected 1 to ${model.maxPromptTokens}, or -1`);
  }
  const key = JSON.stringify([kind, labels ?? null, template ?? null, maxTokens ?? null]);
  const { tokenizer, config } = model;
  const task = tasks.get(key) ?? createTask({
    kind, tokenizer, config, labels: labels ?? undefined, template: template ?? undefined, maxTokens, labelsSource, templateSource,
  });
  tasks.delete(key);
  tasks.set(key, task); // the latest comes last
  if (tasks.size > MAX_TASKS) tasks.delete(tasks.keys().next().value!);
  return task;
}

/** @throws InputError when requests may not bring templates */
export function checkTemplate(template: string | null | undefined, { refuseTemplates = false }: ServedModel): void {
  if (template != null && refuseTemplates) {
    throw new InputError('template', '', 'is not taken from requests by this server; expected none (serve --allow-templates takes them)');
  }
}

/** A record and what messages call it. */
export interface TaskQuestion {
  readonly record: TaskRecord;
  readonly where: string;
}

export interface TaskVerdicts {
  /** Of each question in turn, the probabilities of the task's labels. */
  readonly probabilities: readonly (readonly number[])[];
  readonly usage: z.infer<typeof usageSchema>;
}

function requestOf(task: Task, { record, where }: TaskQuestion, truncates: boolean, model: ServedModel): Omit<ServingRequest, 'signal'> {
  const { trimmed } = TASKS[task.kind];
  for (const [name, value] of Object.entries(record)) {
    const text = Array.isArray(value) ? value.join('\n') : value;
    if (typeof text === 'string' && !(truncates && name === trimmed)) refuseLong(text, where, model);
  }
  const { tokens, candidates } = task.prompt(record, where);
  return { tokens: checkedTokens(tokens, where, model), candidates };
}

/** What a task is asked about. */
export interface TaskQuestions<T> {
  readonly items: readonly T[];
  /** What messages call the items. */
  readonly field: string;
  /** Made one by one, after their number was found to be bearable. */
  readonly question: (item: T, index: number) => TaskQuestion;
  /** The task shortens texts. */
  readonly truncates?: boolean;
}

/**
 * Asks about all items at once.
 * @throws InputError for too many of them, or for one that makes no prompt
 */
export async function judgeAll<T>(task: Task, { items, field, question, truncates = false }: TaskQuestions<T>, context: OperationContext): Promise<TaskVerdicts> {
  const requests = await prepare(items, field, context, (item, index) => requestOf(task, question(item, index), truncates, context.model));
  const answers = await askAll(requests, context);
  return { probabilities: answers.map(({ logits }) => softmax(logits)), usage: usageOf(requests, answers) };
}

const MAX_TEMPLATE_CHARACTERS = 65_536;

/** A template of the request's own. */
export const templateField = (description: string) => z.string().max(MAX_TEMPLATE_CHARACTERS).nullish().describe(description);

/** Fields of the operations that ask whether a document fits a query. */
export const answerFields = {
  labels: labelsField('The positive answer first, then the others, each one token; "yes" and "no" by default.').nullish(),
  template: templateField('Jinja template of the prompt with {{ query }} and {{ candidate }}; the built-in one by default.'),
  truncate_prompt_tokens: z.int().min(-1).nullish()
    .describe('Shortens documents from their end until a prompt has at most so many tokens; -1: as many as the server takes. Longer ones are refused by default.'),
};
