/**
 * OpenAI's legacy completions, for what one pass can say: the likeliest next token (`max_tokens: 1`), and the log-probabilities of the prompt's own
 * tokens (`echo` with `logprobs`), which is what evaluation harnesses ask for.
 */
import * as z from 'zod';
import { MAX_TOP } from '../../engine/index.ts';
import { InputError } from '../../errors.ts';
import type { ServingAnswer } from '../requests.ts';
import { askAll, checkModel, header, headerOf, modelField, prepare, promptTokens, usageOf, usageSchema } from './asking.ts';
import { completionLogprobs, logprobsSchema, scoredPrompt, topAt, type ScoredToken } from './completion-logprobs.ts';
import { promptList, promptsField, textOrTexts, type PromptField } from './fields.ts';
import type { Operation, OperationContext, ServedModel } from './operation.ts';
import { tokenTexts } from './token-texts.ts';

const body = z.object({
  model: modelField,
  prompt: promptsField('One prompt or several, each as text or as tokens.'),
  max_tokens: z.int().nullish().describe('0 or 1; 1 by default. More would need one pass for each token.'),
  logprobs: z.int().min(0).max(MAX_TOP).nullish().describe('Tells the log-probability of each token in the answer, and so many of the likeliest at its position.'),
  echo: z.boolean().nullish().describe('Put the prompt before the answer, with its log-probabilities if these are asked for.'),
  temperature: z.number().nullish().describe('The likeliest token is answered: 0, unless max_tokens is 0.'),
  top_p: z.number().nullish().describe('Has no effect: the likeliest token is always kept.'),
  n: z.int().nullish().describe('1.'),
  best_of: z.int().nullish().describe('1.'),
  seed: z.int().nullish().describe('Has no effect: nothing is drawn.'),
  stop: textOrTexts('The answer ends before the first of these.', 0).nullish(),
  stream: z.boolean().nullish().describe('false.'),
  suffix: z.string().nullish().describe('Not supported.'),
  presence_penalty: z.number().nullish().describe('0.'),
  frequency_penalty: z.number().nullish().describe('0.'),
  logit_bias: z.looseObject({}).nullish().describe('Not supported.'),
  user: z.string().nullish(),
  add_special_tokens: z.boolean().nullish().describe('Whether texts get the tokens that the model wants around every text; true by default.'),
  return_tokens_as_token_ids: z.boolean().nullish().describe('Tokens in logprobs are written token_id:ID, which tells all of them apart.'),
});
type Body = z.infer<typeof body>;

const response = z.object({
  ...header('text_completion'),
  choices: z.array(z.object({
    index: z.int(), text: z.string(), logprobs: logprobsSchema.nullable(),
    finish_reason: z.enum(['stop', 'length']).describe('stop: at a stop text or a special token of the model.'),
  })),
  usage: usageSchema,
});
type Choice = z.infer<typeof response>['choices'][number];

/** Why a field that would change the answer of an engine that draws tokens has no place here; null: it has. */
function refusal(asked: Body): readonly [field: string, problem: string] | null {
  const { max_tokens: maxTokens, temperature, n, best_of: bestOf, stream, suffix, presence_penalty: presence, frequency_penalty: frequency, logit_bias: bias } = asked;
  if (maxTokens != null && maxTokens !== 0 && maxTokens !== 1) {
    return ['max_tokens', `${maxTokens}; this server answers from one pass over the prompt, expected 0 or 1`];
  }
  if (stream === true) return ['stream', 'true; there is one token to answer, expected false'];
  if (suffix != null && suffix !== '') return ['suffix', 'is not supported; expected none'];
  if (n != null && n !== 1) return ['n', `${n}; the likeliest token is answered, all answers would be the same; expected 1`];
  if (bestOf != null && bestOf !== 1) return ['best_of', `${bestOf}; the likeliest token is answered; expected 1`];
  if (maxTokens === 0) return null; // nothing is chosen
  if (temperature != null && temperature !== 0) return ['temperature', `${temperature}; the likeliest token is answered, nothing is drawn; expected 0`];
  if (presence != null && presence !== 0) return ['presence_penalty', `${presence}; the likeliest token is answered; expected 0`];
  if (frequency != null && frequency !== 0) return ['frequency_penalty', `${frequency}; the likeliest token is answered; expected 0`];
  if (bias != null && Object.keys(bias).length > 0) return ['logit_bias', 'is not supported; expected none'];
  return null;
}

/** A prompt with what its request has to ask for. */
interface Asked {
  readonly prompt: PromptField;
  readonly tokens: Uint32Array;
  readonly candidates: readonly number[];
  readonly scored: number;
  readonly top: number;
}

function asks(prompt: PromptField, where: string, { max_tokens, logprobs, echo, add_special_tokens: special }: Body, model: ServedModel): Asked {
  const tokens = promptTokens(prompt, where, model, special ?? true);
  const generates = max_tokens !== 0;
  const scored = echo === true && logprobs != null ? tokens.length : generates ? 1 : 0;
  return { prompt, tokens, candidates: [], scored, top: Math.max(logprobs ?? 0, generates ? 1 : 0) };
}

/** Answer of a prompt of which nothing was asked that the model would have to say. */
const SILENCE: Pick<ServingAnswer, 'scores' | 'cachedTokens'> = { scores: null, cachedTokens: 0 };

/** The generated token's text up to the first stop text, and whether it stops there or is a special token, which has no text. */
function generatedText(token: number, { tokenizer }: ServedModel, stop: Body['stop']): { text: string; stopped: boolean } {
  const text = tokenizer.decode([token], { specialTokens: false });
  if (text === '') return { text, stopped: tokenizer.decode([token]) !== '' };
  const stops = (typeof stop === 'string' ? [stop] : stop ?? []).filter((one) => one !== '');
  const ends = stops.map((one) => text.indexOf(one)).filter((at) => at >= 0);
  return ends.length === 0 ? { text, stopped: false } : { text: text.slice(0, Math.min(...ends)), stopped: true };
}

function choiceOf(index: number, { prompt, tokens, scored }: Asked, scores: ServingAnswer['scores'], asked: Body, model: ServedModel): Choice {
  const { logprobs, echo, stop } = asked;
  const echoed = echo !== true ? '' : typeof prompt === 'string' ? prompt : model.tokenizer.decode(prompt);
  const spoken: ScoredToken[] = echo === true && scores !== null && logprobs != null ? scoredPrompt(tokens, scores, logprobs) : [];
  const generated = asked.max_tokens === 0 || scores === null ? null : topAt(scores, scored - 1, 1)[0]!;
  const { text, stopped } = generated === null ? { text: '', stopped: false } : generatedText(generated[0], model, stop);
  if (generated !== null) spoken.push({ token: generated[0], logprob: generated[1], top: topAt(scores!, scored - 1, logprobs ?? 0) });
  return {
    index, text: echoed + text, finish_reason: stopped ? 'stop' : 'length',
    logprobs: logprobs == null ? null : completionLogprobs(spoken, tokenTexts(model.tokenizer, asked.return_tokens_as_token_ids === true)),
  };
}

async function run(asked: Body, context: OperationContext): Promise<z.infer<typeof response>> {
  const { model } = context;
  checkModel(asked.model, model);
  const refused = refusal(asked);
  if (refused !== null) throw new InputError(refused[0], '', refused[1]);
  const list = promptList(asked.prompt);
  const prompts = await prepare(list, 'prompt', context, (prompt, i) => asks(prompt, list.length === 1 ? 'prompt' : `prompt[${i}]`, asked, model));
  const speaks = prompts.some(({ scored }) => scored > 0);
  const answers = speaks ? await askAll(prompts.map(({ tokens, candidates, scored, top }) => ({ tokens, candidates, scored, top })), context) : prompts.map(() => SILENCE);
  return {
    ...headerOf('text_completion', 'cmpl', model),
    choices: prompts.map((prompt, i) => choiceOf(i, prompt, answers[i]!.scores, asked, model)),
    usage: usageOf(prompts, answers, asked.max_tokens === 0 ? 0 : prompts.length),
  };
}

export const completions: Operation = {
  name: 'completions',
  path: '/v1/completions',
  summary: 'The likeliest next token, and log-probabilities of the prompt (OpenAI\'s legacy completions).',
  body, response,
  run: (asked, context) => run(asked as Body, context),
};
