/** Reranking in the shape of Jina, Cohere and vLLM: one request for each document, sorted by the probability that it fits the query. */
import * as z from 'zod';
import { checkModel, headerOf, modelField } from './asking.ts';
import { documentsField, textField, type DocumentField } from './fields.ts';
import type { Operation, OperationContext } from './operation.ts';
import { answerFields, checkTemplate, judgeAll, taskFor, type TaskQuestion } from './tasks.ts';

const body = z.object({
  model: modelField,
  query: textField('What documents are compared with.'),
  documents: documentsField('What to sort: texts, or objects with a text.'),
  top_n: z.int().min(0).nullish().describe('Only the best so many; all by default, and for 0.'),
  return_documents: z.boolean().nullish().describe('Whether results repeat the documents; true by default.'),
  ...answerFields,
});
type Body = z.infer<typeof body>;

const response = z.object({
  id: z.string(), model: z.string(),
  results: z.array(z.object({
    index: z.int().describe('Place in the request.'),
    relevance_score: z.number().describe('Probability of the positive answer among the labels.'),
    document: z.object({ text: z.string() }).optional(),
  })).describe('The best first; equal ones in the order of the request.'),
  usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
});

const textOf = (document: DocumentField): string => (typeof document === 'string' ? document : document.text);

async function run(asked: Body, context: OperationContext): Promise<z.infer<typeof response>> {
  const { model } = context;
  const { query, documents, top_n: topN, template, labels, truncate_prompt_tokens: truncateTo } = asked;
  checkModel(asked.model, model);
  checkTemplate(template, model);
  const task = taskFor({ kind: 'rerank', labels, template, truncateTo }, model);
  const question = (document: DocumentField, i: number): TaskQuestion => ({ record: { query, candidate: textOf(document) }, where: `documents[${i}]` });
  const { probabilities, usage } = await judgeAll(task, { items: documents, field: 'documents', question, truncates: truncateTo != null }, context);
  const results = probabilities
    .map(([score], index) => ({ index, relevance_score: score!, ...(asked.return_documents !== false && { document: { text: textOf(documents[index]!) } }) }))
    .sort((a, b) => b.relevance_score - a.relevance_score);
  const { id, model: name } = headerOf('rerank', 'rerank', model);
  return { id, model: name, results: topN == null || topN === 0 ? results : results.slice(0, topN), usage: { prompt_tokens: usage.prompt_tokens, total_tokens: usage.total_tokens } };
}

export const rerank: Operation = {
  name: 'rerank',
  path: '/v1/rerank',
  summary: 'Documents sorted by how well they fit a query.',
  body, response,
  run: (asked, context) => run(asked as Body, context),
};
