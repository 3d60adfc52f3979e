/** vLLM's `/generative_scoring`: the probability of the first label token after each item. */
import * as z from 'zod';
import { checkedTokens, checkModel, header, headerOf, modelField, prepare, refuseLong, usageSchema } from './asking.ts';
import { labelTokensField, promptField, promptList, promptsField, type PromptField } from './fields.ts';
import { checkLabels, labelScores } from './label-scores.ts';
import type { Operation, OperationContext, ServedModel } from './operation.ts';

const body = z.object({
  model: modelField,
  query: promptField('What all items share, as text or as tokens.'),
  items: promptsField('What differs: texts, or lists of tokens.'),
  label_token_ids: labelTokensField('The tokens to compare; the score is the probability of the first.'),
  apply_softmax: z.boolean().default(true).describe('Probability among the labels; false: among the whole vocabulary.'),
  item_first: z.boolean().default(false).describe('A prompt is item + query instead of query + item.'),
  add_special_tokens: z.boolean().default(true).describe('Whether a query that is a text gets the tokens that the model wants around every text.'),
});
type Body = z.infer<typeof body>;

const response = z.object({
  ...header('list'),
  data: z.array(z.object({ index: z.int(), object: z.literal('score'), score: z.number() })),
  usage: usageSchema,
});

function tokensOf(part: PromptField, where: string, model: ServedModel, specialTokens: boolean): readonly number[] {
  if (typeof part !== 'string') return part;
  refuseLong(part, where, model);
  return model.tokenizer.encode(part, { specialTokens });
}

async function run(asked: Body, context: OperationContext): Promise<z.infer<typeof response>> {
  const { model } = context;
  const { query, label_token_ids: labels, item_first: itemFirst } = asked;
  checkModel(asked.model, model);
  checkLabels(labels, model);
  const items = promptList(asked.items);
  const shared = tokensOf(query, 'query', model, asked.add_special_tokens);
  const prompts = await prepare(items, 'items', context, (item, i) => {
    const own = tokensOf(item, `items[${i}]`, model, false);
    return checkedTokens(itemFirst ? [...own, ...shared] : [...shared, ...own], `items[${i}]`, model);
  });
  const { probabilities, usage } = await labelScores(prompts, labels, asked.apply_softmax, context);
  return {
    ...headerOf('list', 'generative-scoring', model),
    data: probabilities.map(([score], index) => ({ index, object: 'score', score: score! })),
    usage,
  };
}

export const generativeScoring: Operation = {
  name: 'generative_scoring',
  path: '/generative_scoring',
  summary: 'The probability of a token after a query with each of several items (vLLM).',
  body, response,
  run: (asked, context) => run(asked as Body, context),
};
