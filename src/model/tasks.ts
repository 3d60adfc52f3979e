/**
 * Tasks: from a record (`{ text }`, `{ query, candidate }`, `{ claim, evidence }`) to the tokens of a prompt and the candidate
 * token of each label; and from the candidates' logits to probabilities.
 */
import { InputError } from '../errors.ts';
import { fit, type TokenLimit } from './fit.ts';
import { compileJinja, type JinjaTemplate } from './jinja.ts';
import { labelTokens } from './labels.ts';
import { type TaskKind, TASKS } from './templates.ts';
import type { ModelTokenizer } from './tokenizer.ts';
import type { ModelConfig } from './types.ts';

export interface TaskOptions {
  readonly kind: TaskKind;
  readonly tokenizer: ModelTokenizer;
  readonly config: Pick<ModelConfig, 'maxPositionEmbeddings' | 'vocabSize'>;
  /** What the model may answer; a rerank's or verify's first label is the positive one. The kind's own by default. */
  readonly labels?: readonly string[] | undefined;
  /** Jinja text; the kind's own by default. */
  readonly template?: string | undefined;
  /** What messages call the template. */
  readonly templateSource?: string | undefined;
  /** What messages call the labels. */
  readonly labelsSource?: string | undefined;
  /** The rendered text becomes the user's message in the model's chat template. */
  readonly chat?: boolean | undefined;
  /** Shortens the text (candidate, evidence) from its end until the prompt has at most so many tokens. */
  readonly maxTokens?: number | undefined;
}

/** The variables of one record; others than the task's own may be used by a user's template. */
export type TaskRecord = Readonly<Record<string, unknown>>;

export interface Prompt {
  readonly text: string;
  readonly tokens: readonly number[];
  /** The token of each label, in the labels' order. */
  readonly candidates: readonly number[];
  /** The text was shortened to fit `maxTokens`. */
  readonly truncated: boolean;
}

export interface Task {
  readonly kind: TaskKind;
  readonly labels: readonly string[];
  /**
   * Renders and tokenises one record.
   * @param where what messages call it: "mails.jsonl line 12"
   * @throws InputError for a missing or empty variable, a prompt that is too long, a label that is not one token
   */
  prompt(record: TaskRecord, where: string): Prompt;
}

/**
 * Prepares a task. Template and labels are checked here, before any record is read; a template that cannot be rendered without
 * variables of the user's own is checked with the first record.
 */
export function createTask(options: TaskOptions): Task {
  const { kind, tokenizer, chat = false } = options;
  const spec = TASKS[kind];
  const labels = options.labels ?? spec.labels;
  const template = compileTask(options);
  const render = (record: TaskRecord): string => {
    const text = template({ ...record, labels });
    return chat ? tokenizer.chat([{ role: 'user', content: text }]) : text;
  };
  const encode = (text: string): number[] => tokenizer.encode(text, { specialTokens: !chat });
  const candidates = candidateCache(options, labels);
  if (chat) tokenizer.chat([{ role: 'user', content: 'a model without a chat template is refused here' }]);
  const sample = attempt(() => render(sampleRecord(kind)));
  candidates(sample ?? '');
  const limit = tokenLimit(options);
  return {
    kind,
    labels,
    prompt: (record, where) => {
      for (const name of spec.variables) checkVariable(record, name, where);
      const fitted = fit(record, spec.trimmed, (tried) => encode(render(tried)), limit, where);
      const text = render(fitted.record);
      checkTokens(fitted.tokens, options.config, where);
      return { text, tokens: fitted.tokens, candidates: candidates(text), truncated: fitted.truncated };
    },
  };
}

/** Compiles the template and makes sure that the record reaches the prompt. */
function compileTask({ kind, template: text = TASKS[kind].template, templateSource: source = `${kind} template` }: TaskOptions): JinjaTemplate {
  const template = compileJinja(text, source);
  const sample = sampleRecord(kind);
  const rendered = attempt(() => template({ ...sample, labels: ['yes', 'no'] }));
  const unused = Object.keys(sample).find((name) => rendered !== null && !rendered.includes(sample[name]!));
  if (unused === undefined) return template;
  throw new InputError(source, unused, `is not used; expected {{ ${unused} }} in a ${kind} template`);
}

/** A record to try a template with. Digits survive filters such as upper and trim. */
const sampleRecord = (kind: TaskKind): Record<string, string> =>
  Object.fromEntries(TASKS[kind].variables.map((name, i) => [name, `70${i}1`]));

function attempt<T>(run: () => T): T | null {
  try {
    return run();
  } catch {
    return null;
  }
}

/** Labels depend on whether a prompt ends in whitespace, and on nothing else of it. */
function candidateCache({ tokenizer, config, labelsSource = 'labels' }: TaskOptions, labels: readonly string[]): (prompt: string) => readonly number[] {
  const known = new Map<boolean, readonly number[]>();
  return (prompt) => {
    const key = /\s$/.test(prompt);
    const tokens = known.get(key) ?? labelTokens(tokenizer, labels, prompt, labelsSource);
    if (!known.has(key)) checkTokens(tokens, config, labelsSource);
    known.set(key, tokens);
    return tokens;
  };
}

function checkVariable(record: TaskRecord, name: string, where: string): void {
  const value = record[name];
  if (typeof value !== 'string') throw new InputError(where, name, `expected a text, got ${value === undefined ? 'nothing' : typeof value}`);
  if (value.trim() === '') throw new InputError(where, name, 'is empty; expected a text');
}

function tokenLimit({ maxTokens, config }: TaskOptions): TokenLimit {
  if (maxTokens === undefined) return { tokens: config.maxPositionEmbeddings, trims: false };
  if (Number.isInteger(maxTokens) && maxTokens >= 1 && maxTokens <= config.maxPositionEmbeddings) return { tokens: maxTokens, trims: true };
  throw new InputError('max tokens', '', `expected 1 to ${config.maxPositionEmbeddings} (max_position_embeddings), got ${maxTokens}`);
}

/**
 * Checks tokens that come from outside: there must be some, all in the vocabulary, and not more than the model has positions for.
 * @param where what messages call the list
 */
export function checkTokens(tokens: readonly number[], config: Pick<ModelConfig, 'maxPositionEmbeddings' | 'vocabSize'>, where: string): void {
  if (tokens.length === 0) throw new InputError(where, 'tokens', 'is empty; expected at least one token');
  if (tokens.length > config.maxPositionEmbeddings) {
    throw new InputError(where, 'tokens', `has ${tokens.length} tokens; expected at most ${config.maxPositionEmbeddings} (max_position_embeddings)`);
  }
  const at = tokens.findIndex((token) => !(Number.isInteger(token) && token >= 0 && token < config.vocabSize));
  if (at >= 0) throw new InputError(where, `tokens[${at}]`, `expected a token from 0 to ${config.vocabSize - 1}, got ${tokens[at]}`);
}

/** Probabilities of the candidates from their logits. */
export function softmax(logits: ArrayLike<number>): number[] {
  const values = Array.from(logits);
  const top = Math.max(...values);
  const weights = values.map((value) => Math.exp(value - top));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}
