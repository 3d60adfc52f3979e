/**
 * Fields of request bodies. Lists are checked by hand: a schema library collects an issue for every element, which a list of millions of wrong ones would
 * turn into gigabytes; here the first wrong element is named and the rest is not looked at.
 */
import * as z from 'zod';

/** A list of tokens, or a text to tokenise. */
export type PromptField = string | readonly number[];

/** Most labels of one request. */
const MAX_LABELS = 1024;

/** What is wrong with a value, as half a sentence; null: nothing. */
type Check = (value: unknown) => string | null;

/** A field that `check` judges and `schema` (JSON Schema) describes. */
function checked<T>(check: Check, schema: Readonly<Record<string, unknown>>): z.ZodType<T> {
  return z.custom<T>((value) => check(value) === null, { error: ({ input }) => check(input) ?? 'is wrong' }).meta(schema);
}

/** What was given, briefly; never the whole of it. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'string') return value.length <= 40 ? JSON.stringify(value) : 'a text';
  return typeof value === 'object' ? 'an object' : String(value);
}

const isToken = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown): boolean => typeof value === 'string';

const isSomeText = (value: unknown): boolean => isText(value) && (value as string).trim() !== '';

/** The first element that is not what it should be. */
function firstWrong(list: readonly unknown[], right: (element: unknown) => boolean, expected: string): string | null {
  const at = list.findIndex((element) => !right(element));
  return at < 0 ? null : `[${at}]: expected ${expected}, got ${show(list[at])}`;
}

const tokenSchema = { type: 'integer', minimum: 0 };
const tokensSchema = { type: 'array', minItems: 1, items: tokenSchema };
const textsSchema = { type: 'array', minItems: 1, items: { type: 'string' } };

const PROMPT = 'a text, a list of texts, a list of tokens, or a list of lists of tokens';

function promptsProblem(value: unknown): string | null {
  if (isText(value)) return null;
  if (!Array.isArray(value) || value.length === 0) return `expected ${PROMPT}; got ${show(value)}`;
  const first: unknown = value[0];
  if (isText(first)) return firstWrong(value, isText, 'a text as before it');
  if (typeof first === 'number') return firstWrong(value, isToken, 'a token, a whole number from 0');
  if (!Array.isArray(first)) return `[0]: expected a text, a token or a list of tokens, got ${show(first)}`;
  return firstWrong(value, Array.isArray, 'a list of tokens as before it') ?? firstWrongIn(value as unknown[][]);
}

function firstWrongIn(lists: readonly (readonly unknown[])[]): string | null {
  for (const [i, list] of lists.entries()) {
    const problem = firstWrong(list, isToken, 'a token, a whole number from 0');
    if (problem !== null) return `[${i}]${problem}`;
  }
  return null;
}

/** A prompt or several, each as text or tokens. */
export const promptsField = (description: string): z.ZodType<PromptField | readonly PromptField[]> =>
  checked(promptsProblem, { anyOf: [{ type: 'string' }, textsSchema, tokensSchema, { type: 'array', minItems: 1, items: tokensSchema }], description });

/** One by one; a list of tokens is one prompt. */
export const promptList = (field: PromptField | readonly PromptField[]): readonly PromptField[] =>
  (typeof field === 'string' || typeof field[0] === 'number' ? [field as PromptField] : field as readonly PromptField[]);

/** One prompt, as text or tokens. */
export const promptField = (description: string): z.ZodType<PromptField> => checked((value) => {
  if (isText(value)) return null;
  if (Array.isArray(value)) return firstWrong(value, isToken, 'a token, a whole number from 0');
  return `expected a text or a list of tokens, got ${show(value)}`;
}, { anyOf: [{ type: 'string' }, { ...tokensSchema, minItems: 0 }], description });

/** A text that is more than white space. */
export const textField = (description: string): z.ZodType<string> => checked((value) => {
  if (typeof value !== 'string') return `expected a text, got ${show(value)}`;
  return value.trim() === '' ? 'is empty; expected a text' : null;
}, { type: 'string', minLength: 1, description });

function textsProblem(value: unknown, least: number, most: number): string | null {
  if (!Array.isArray(value)) return `expected a list of texts, got ${show(value)}`;
  if (value.length < least || value.length > most) return `expected ${least} to ${most} texts, got ${value.length}`;
  return firstWrong(value, isSomeText, 'a text that is not empty');
}

/** A list of `least` to `most` texts, none of them empty. */
export const textsField = (description: string, least: number, most: number): z.ZodType<readonly string[]> =>
  checked((value) => textsProblem(value, least, most), { type: 'array', minItems: least, maxItems: most, items: { type: 'string' }, description });

/** Longest label: it has to be one token. */
const MAX_LABEL_CHARACTERS = 256;
const isLabel = (value: unknown): boolean => isSomeText(value) && (value as string).length <= MAX_LABEL_CHARACTERS;

/** Labels, of which there are two at least. */
export const labelsField = (description: string, most = MAX_LABELS): z.ZodType<readonly string[]> => checked((value) =>
  textsProblem(value, 2, most) ?? firstWrong(value as string[], isLabel, `a label of at most ${MAX_LABEL_CHARACTERS} characters`),
{ type: 'array', minItems: 2, maxItems: most, items: { type: 'string', minLength: 1, maxLength: MAX_LABEL_CHARACTERS }, description });

/** A text, or a list of at least `least`. */
export const textOrTexts = (description: string, least = 1): z.ZodType<string | readonly string[]> => checked((value) => {
  if (isText(value)) return null;
  if (!Array.isArray(value) || value.length < least) return `expected a text or a list of texts, got ${show(value)}`;
  return firstWrong(value, isText, 'a text');
}, { anyOf: [{ type: 'string' }, { ...textsSchema, minItems: least }], description });

/** A document as clients of rerankers send it. */
export type DocumentField = string | { readonly text: string };

const isDocument = (value: unknown): boolean => isText(value) || (typeof value === 'object' && value !== null && isText((value as { text?: unknown }).text));

/** At least one document. */
export const documentsField = (description: string): z.ZodType<readonly DocumentField[]> => checked((value) => {
  if (!Array.isArray(value) || value.length === 0) return `expected a list of documents, got ${show(value)}`;
  return firstWrong(value, isDocument, 'a text or an object with "text"');
}, {
  type: 'array', minItems: 1, description,
  items: { anyOf: [{ type: 'string' }, { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] }] },
});

/** Tokens whose probabilities are asked for. */
export const labelTokensField = (description: string): z.ZodType<readonly number[]> => checked((value) => {
  if (!Array.isArray(value)) return `expected a list of tokens, got ${show(value)}`;
  if (value.length < 1 || value.length > MAX_LABELS) return `expected 1 to ${MAX_LABELS} tokens, got ${value.length}`;
  return firstWrong(value, isToken, 'a token, a whole number from 0');
}, { ...tokensSchema, maxItems: MAX_LABELS, description });
