/** What operations share: from prompts to requests of the service, and what responses say about themselves. */
import * as z from 'zod';
import { InputError } from '../../errors.ts';
import { checkTokens } from '../../model/tasks.ts';
import { CancelledError, type ServingAnswer, type ServingRequest } from '../requests.ts';
import type { PromptField } from './fields.ts';
import type { OperationContext, ServedModel } from './operation.ts';

/** Most prompts of one request where the server was told nothing else. */
export const MAX_PROMPTS = 2048;
/** Work that is done before others get their turn. */
const TURN_MS = 10;

/** Another model than the one that is served was asked for. */
export class UnknownModelError extends InputError {
  override name = 'UnknownModelError';
  constructor(asked: string, served: string) {
    super('model', '', `${JSON.stringify(asked)} is not served here; expected ${JSON.stringify(served)}, or no model`);
  }
}

/** @throws UnknownModelError */
export function checkModel(asked: string | null | undefined, { id }: ServedModel): void {
  if (asked != null && asked !== id) throw new UnknownModelError(asked, id);
}

/**
 * Makes a request of each item, in turns that leave the server time for others: tokenising a thousand texts takes seconds.
 * @param field what messages call the list
 * @throws InputError when there are too many items, and what `make` throws
 */
export async function prepare<T, R>(items: readonly T[], field: string, { model, signal }: OperationContext, make: (item: T, index: number) => R): Promise<R[]> {
  const { maxPrompts = MAX_PROMPTS } = model;
  if (items.length > maxPrompts) throw new InputError(field, '', `makes ${items.length} prompts; expected at most ${maxPrompts} in one request`);
  const made: R[] = [];
  let turnEnds = performance.now() + TURN_MS;
  for (const [index, item] of items.entries()) {
    if (performance.now() > turnEnds) {
      await new Promise((resolve) => { setImmediate(resolve); });
      if (signal.aborted) throw new CancelledError();
      turnEnds = performance.now() + TURN_MS;
    }
    made.push(make(item, index));
  }
  return made;
}

/** Submits all requests; when one fails the others are withdrawn. */
export async function askAll(requests: readonly Omit<ServingRequest, 'signal'>[], { service, signal }: OperationContext): Promise<ServingAnswer[]> {
  const [only] = requests;
  if (only !== undefined && requests.length === 1) return [await service.submit({ ...only, signal })];
  const siblings = new AbortController();
  const withdraw = (): void => siblings.abort();
  signal.addEventListener('abort', withdraw, { once: true });
  if (signal.aborted) withdraw();
  try {
    return await Promise.all(requests.map((request) => service.submit({ ...request, signal: siblings.signal })));
  } catch (error) {
    withdraw();
    throw error;
  } finally {
    signal.removeEventListener('abort', withdraw);
  }
}

/**
 * Tokens of a prompt.
 * @param where what messages call it
 * @throws InputError when it is empty, too long or not of the vocabulary
 */
export function promptTokens(prompt: PromptField, where: string, model: ServedModel, specialTokens = true): Uint32Array {
  if (typeof prompt === 'string') refuseLong(prompt, where, model);
  const tokens = typeof prompt === 'string' ? model.tokenizer.encode(prompt, { specialTokens }) : prompt;
  return checkedTokens(tokens, where, model);
}

/** @throws InputError when there are none, too many, or some that are not of the vocabulary */
export function checkedTokens(tokens: readonly number[], where: string, { config, maxPromptTokens }: ServedModel): Uint32Array {
  if (tokens.length > maxPromptTokens) throw new InputError(where, '', `has ${tokens.length} tokens; expected at most ${maxPromptTokens}`);
  checkTokens(tokens, config, where);
  return Uint32Array.from(tokens);
}

/** Characters that are tokenised before a text that is far too long is refused: most tokens have fewer. */
const CHARACTERS_PER_TOKEN = 8;

/**
 * Refuses a text that is too long without tokenising all of it.
 * @throws InputError
 */
export function refuseLong(text: string, where: string, { tokenizer, maxPromptTokens }: ServedModel): void {
  for (let length = CHARACTERS_PER_TOKEN * maxPromptTokens; length < text.length; length *= 2) {
    const tokens = tokenizer.encode(text.slice(0, length), { specialTokens: false }).length;
    // A few more, because a cut may fall inside a token.
    if (tokens > maxPromptTokens + CHARACTERS_PER_TOKEN) {
      throw new InputError(where, '', `has ${text.length} characters, of which the first ${length} make ${tokens} tokens; expected at most ${maxPromptTokens} tokens`);
    }
  }
}

/** Tokens that were read and written, in OpenAI's shape. */
export const usageSchema = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: z.int().describe('Prompt tokens that were not computed, because an earlier prompt began with them.') }),
});

/** Sums over all prompts of a request. */
export function usageOf(requests: readonly Pick<ServingRequest, 'tokens'>[], answers: readonly Pick<ServingAnswer, 'cachedTokens'>[], completionTokens = 0): z.infer<typeof usageSchema> {
  const promptTokens = requests.reduce((sum, { tokens }) => sum + tokens.length, 0);
  return {
    prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: answers.reduce((sum, { cachedTokens }) => sum + cachedTokens, 0) },
  };
}

export const modelField = z.string().nullish().describe('Name of the served model, see /v1/models; may be left out.');

/** The fields that begin every response. */
export const header = <O extends string>(object: O) => ({
  id: z.string(), object: z.literal(object), created: z.int().describe('Epoch seconds.'), model: z.string(),
});

/** Values of {@link header}. */
export const headerOf = <O extends string>(object: O, prefix: string, { id }: ServedModel) => ({
  id: `${prefix}-${crypto.randomUUID()}`, object, created: Math.floor(Date.now() / 1000), model: id,
});
