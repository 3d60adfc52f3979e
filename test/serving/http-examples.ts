/** A valid body of every shape that the API takes. */

/** Path and body of one. */
export interface Example {
  readonly path: string;
  readonly what: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export const EXAMPLES: readonly Example[] = [
  { path: '/v1/completions', what: 'a text', body: { model: 'spam-mail', prompt: 'Hello there', max_tokens: 1, temperature: 0, stop: ['\n'] } },
  { path: '/v1/completions', what: 'tokens, echoed', body: { prompt: [[5, 6, 7], [8]], max_tokens: 0, echo: true, logprobs: 2, seed: 1 } },
  { path: '/v1/classify', what: 'labels and template', body: { input: ['buy now', 'lunch?'], labels: ['spam', 'ham'], template: 'Spam?\n{{ text }}\nAnswer:' } },
  { path: '/v1/rerank', what: 'documents of both kinds', body: { query: 'city', documents: ['Paris', { text: 'banana' }], top_n: 1, return_documents: false, truncate_prompt_tokens: 100 } },
  { path: '/v1/score', what: 'pairs of texts', body: { text_1: 'a', text_2: ['b', 'c'], labels: ['yes', 'no'] } },
  { path: '/v1/score', what: 'queries and documents', body: { queries: ['a', 'd'], documents: ['b', 'c'] } },
  { path: '/v1/score', what: 'probabilities of tokens', body: { query: 'Is it? ', items: ['a', 'b'], label_token_ids: [670, 2466], apply_softmax: true, item_first: false } },
  { path: '/generative_scoring', what: 'the first label', body: { query: [4, 5], items: ['a', 'b'], label_token_ids: [670, 2466], apply_softmax: false } },
  { path: '/v1/decisions', what: 'a choice', body: { kind: 'choice', context: 'The train was late.', question: 'About?', options: ['sports', 'travel'], instructions: 'Be fair.' } },
  { path: '/v1/decisions', what: 'a selection', body: { kind: 'multi', context: 'The train was late.', options: ['delay', 'praise', 'refund'], threshold: 0.3, top_k: 2, labels: ['yes', 'no'] } },
  { path: '/v1/decisions', what: 'a verification', body: { kind: 'verify', claim: 'It was late.', evidence: 'Two hours.', threshold: 0.5 } },
];
