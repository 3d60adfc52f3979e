/**
 * `/v1/score` means two things: vLLM scores pairs of texts as a cross-encoder would, here by the rerank task; SGLang gives the probabilities of
 * tokens after a query with each of several items. The fields tell which one is meant.
 */
import * as z from 'zod';
import { InputError } from '../../errors.ts';
import { checkModel, header, headerOf, modelField, prepare, promptTokens, usageSchema } from './asking.ts';
import { labelTokensField, promptField, promptList, promptsField, textOrTexts, type PromptField } from './fields.ts';
import { checkLabels, labelScores } from './label-scores.ts';
import type { Operation, OperationContext } from './operation.ts';
import { answerFields, checkTemplate, judgeAll, taskFor, type TaskQuestion } from './tasks.ts';

const FIRST = 'The text that each of the second is compared with, or as many as there are of the second.';
const SECOND = 'One text or several.';
const pairFields = { model: modelField, ...answerFields };

const textPairs = z.object({ text_1: textOrTexts(FIRST), text_2: textOrTexts(SECOND), ...pairFields });
const queryPairs = z.object({ queries: textOrTexts(FIRST), documents: textOrTexts(SECOND), ...pairFields });
const labelled = z.object({
  model: modelField,
  query: promptField('What all items share, as text or as tokens.'),
  items: promptsField('What differs: texts or lists of tokens, of the same kind as the query.'),
  label_token_ids: labelTokensField('The tokens whose probabilities are asked for.'),
  apply_softmax: z.boolean().default(false).describe('Probabilities among the labels; false: among the whole vocabulary.'),
  item_first: z.boolean().default(false).describe('A prompt is item + query instead of query + item.'),
});
const body = z.union([textPairs, queryPairs, labelled]);
type Pairs = z.infer<typeof textPairs> | z.infer<typeof queryPairs>;
type Labelled = z.infer<typeof labelled>;

const pairScores = z.object({
  ...header('list'),
  data: z.array(z.object({ index: z.int(), object: z.literal('score'), score: z.number().describe('Probability of the positive answer among the labels.') })),
  usage: usageSchema,
});
const tokenScores = z.object({
  object: z.literal('scoring'), model: z.string(),
  scores: z.array(z.array(z.number())).describe('Of each item, the probabilities in the order of label_token_ids.'),
  usage: usageSchema,
});
const response = z.union([pairScores, tokenScores]);

interface PairSides {
  readonly names: readonly [string, string];
  readonly first: string | readonly string[];
  readonly second: string | readonly string[];
}

const sidesOf = (asked: Pairs): PairSides => ('text_1' in asked
  ? { names: ['text_1', 'text_2'], first: asked.text_1, second: asked.text_2 }
  : { names: ['queries', 'documents'], first: asked.queries, second: asked.documents });

async function scorePairs(asked: Pairs, context: OperationContext): Promise<z.infer<typeof pairScores>> {
  const { model } = context;
  const { names, first, second } = sidesOf(asked);
  const queries = typeof first === 'string' ? [first] : first;
  const candidates = typeof second === 'string' ? [second] : second;
  if (queries.length !== 1 && queries.length !== candidates.length) {
    throw new InputError(names[0], '', `has ${queries.length} texts, ${names[1]} has ${candidates.length}; expected one, or as many as ${names[1]}`);
  }
  checkTemplate(asked.template, model);
  const truncateTo = asked.truncate_prompt_tokens;
  const task = taskFor({ kind: 'rerank', labels: asked.labels, template: asked.template, truncateTo }, model);
  const question = (candidate: string, i: number): TaskQuestion => ({ record: { query: queries[queries.length === 1 ? 0 : i]!, candidate }, where: `${names[1]}[${i}]` });
  const { probabilities, usage } = await judgeAll(task, { items: candidates, field: names[1], question, truncates: truncateTo != null }, context);
  return { ...headerOf('list', 'score', model), data: probabilities.map(([score], index) => ({ index, object: 'score', score: score! })), usage };
}

/** Texts are joined before they are tokenised, as SGLang does it. */
function joined(query: PromptField, item: PromptField, itemFirst: boolean, where: string): PromptField {
  const [before, behind] = itemFirst ? [item, query] : [query, item];
  if (typeof before === 'string' && typeof behind === 'string') return before + behind;
  if (typeof before !== 'string' && typeof behind !== 'string') return [...before, ...behind];
  throw new InputError(where, '', `is ${typeof item === 'string' ? 'a text' : 'a list of tokens'} and the query is not; expected the same kind`);
}

async function scoreLabels({ query, items, label_token_ids: labels, apply_softmax: amongLabels, item_first: itemFirst }: Labelled, context: OperationContext): Promise<z.infer<typeof tokenScores>> {
  const { model } = context;
  checkLabels(labels, model);
  const prompts = await prepare(promptList(items), 'items', context, (item, i) => {
    const where = `items[${i}]`;
    return promptTokens(joined(query, item, itemFirst, where), where, model);
  });
  const { probabilities, usage } = await labelScores(prompts, labels, amongLabels, context);
  return { object: 'scoring', model: model.id, scores: probabilities.map((row) => [...row]), usage };
}

export const score: Operation = {
  name: 'score',
  path: '/v1/score',
  summary: 'How well pairs of texts fit (vLLM), or probabilities of tokens after a query with each of several items (SGLang).',
  body, response,
  run: async (body, context) => {
    const asked = body as Pairs | Labelled;
    checkModel(asked.model, context.model);
    return 'label_token_ids' in asked ? scoreLabels(asked, context) : scorePairs(asked, context);
  },
};
