import { describe, expect, it } from 'vitest';
import { TASKS } from '../../src/model/templates.ts';
import { compileJinja } from '../../src/model/jinja.ts';
import { OPERATIONS, operationAt, parseBody } from '../../src/serving/operations/index.ts';
import type { ServedModel } from '../../src/serving/operations/operation.ts';
import { OverloadedError } from '../../src/serving/requests.ts';
import { fakeLogit, fakeNormalizer, fakeService, servedModel } from './operations-fakes.ts';

const { tokenizer } = servedModel();
const encode = (text: string): number[] => tokenizer.encode(text);
const one = (text: string): number => {
  const tokens = encode(text);
  expect(tokens.length).toBe(1);
  return tokens[0]!;
};

/** Asks as HTTP does, and holds the answer to the operation's schema. */
async function ask(path: string, body: unknown, { model = servedModel(), service = fakeService() }: { model?: ServedModel; service?: ReturnType<typeof fakeService> } = {}): Promise<any> {
  const operation = operationAt(path)!;
  const answer = await operation.run(parseBody(operation.body, body), { service, model, signal: new AbortController().signal });
  expect(operation.response.safeParse(answer).error).toBeUndefined();
  return answer;
}

const messageOf = (asking: Promise<unknown>): Promise<string> => asking.then(() => 'no error', (error: Error) => `${error.name}: ${error.message}`);

/** Softmax over the logits of the labels after the prompt, by its definition. */
function probabilities(prompt: string, labels: readonly string[]): number[] {
  const weights = labels.map((label) => Math.exp(fakeLogit(encode(prompt), one(` ${label}`))));
  return weights.map((weight) => weight / weights.reduce((a, b) => a + b));
}
const close = (expected: readonly number[]): unknown[] => expected.map((value) => expect.closeTo(value, 6));
const rerankPrompt = (query: string, candidate: string): string => compileJinja(TASKS.rerank.template, 'x')({ query, candidate, labels: ['yes', 'no'] });
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

describe('/v1/classify', () => {
  const labels = ['spam', 'ham'];
  const template = 'Is it spam?\n{{ text }}\nAnswer:';

  it('gives the probabilities of the labels, and the most probable one', async () => {
    const answer = await ask('/v1/classify', { input: ['buy now', 'see you at noon'], labels, template });
    const expected = ['buy now', 'see you at noon'].map((text) => probabilities(`Is it spam?\n${text}\nAnswer:`, labels));
    expect(answer.data).toEqual(expected.map((probs, index) =>
      ({ index, label: labels[probs[0]! > probs[1]! ? 0 : 1], probs: close(probs), num_classes: 2 })));
    expect(answer).toMatchObject({ object: 'list', model: 'spam-mail', id: expect.stringMatching(/^classify-/) });
    expect(answer.usage.prompt_tokens).toBe(sum(['buy now', 'see you at noon'].map((text) => encode(`Is it spam?\n${text}\nAnswer:`).length)));
  });

  it('takes labels and template of the server where the request has none', async () => {
    const model = servedModel({ labels, template });
    const answer = await ask('/v1/classify', { input: 'buy now' }, { model });
    expect(answer.data[0].probs).toEqual(close(probabilities('Is it spam?\nbuy now\nAnswer:', labels)));
  });

  it('says where labels could come from when there are none', async () => {
    expect(await messageOf(ask('/v1/classify', { input: 'x' }))).toMatchInlineSnapshot(`"InputError: labels: is missing, and the server was started without --labels; expected a list of at least two texts"`);
  });

  it('shortens texts only when asked to', async () => {
    const long = 'word '.repeat(5000);
    expect(await messageOf(ask('/v1/classify', { input: long, labels }))).toMatchInlineSnapshot(`"InputError: input: has 25000 characters, of which the first 16384 make 3277 tokens; expected at most 2048 tokens"`);
    expect((await ask('/v1/classify', { input: long, labels, truncate_prompt_tokens: 100 })).usage.prompt_tokens).toBeLessThanOrEqual(100);
    expect((await ask('/v1/classify', { input: long, labels, truncate_prompt_tokens: -1 })).usage.prompt_tokens).toBeLessThanOrEqual(2048);
  });

  it('refuses templates of requests where the server does', async () => {
    const model = servedModel({ refuseTemplates: true });
    expect(await messageOf(ask('/v1/classify', { input: 'x', labels, template }, { model }))).toMatchInlineSnapshot(`"InputError: template: is not taken from requests by this server; expected none (serve --allow-templates takes them)"`);
    expect((await ask('/v1/classify', { input: 'x', labels }, { model })).data).toHaveLength(1);
  });
});

describe('/v1/rerank', () => {
  const documents = ['Paris is in France.', { text: 'Bananas are yellow.' }, 'The capital of France is Paris.'];
  const texts = documents.map((document) => (typeof document === 'string' ? document : document.text));
  const scores = texts.map((text) => probabilities(rerankPrompt('capital of France', text), ['yes', 'no'])[0]!);
  const order = [0, 1, 2].sort((a, b) => scores[b]! - scores[a]!);

  it('sorts documents by the probability of the positive answer', async () => {
    const answer = await ask('/v1/rerank', { model: 'spam-mail', query: 'capital of France', documents });
    expect(answer.results).toEqual(order.map((index) => ({ index, relevance_score: expect.closeTo(scores[index]!, 6), document: { text: texts[index] } })));
  });

  it('tells the best top_n, without documents if so asked', async () => {
    const answer = await ask('/rerank', { query: 'capital of France', documents, top_n: 2, return_documents: false });
    expect(answer.results).toEqual(order.slice(0, 2).map((index) => ({ index, relevance_score: expect.closeTo(scores[index]!, 6) })));
    expect((await ask('/v2/rerank', { query: 'capital of France', documents, top_n: 0 })).results).toHaveLength(3);
  });

  it('keeps the order of equal documents', async () => {
    const answer = await ask('/v1/rerank', { query: 'q', documents: ['same', 'same', 'same'] });
    expect(answer.results.map(({ index }: { index: number }) => index)).toEqual([0, 1, 2]);
  });
});

describe('/v1/score', () => {
  it('scores pairs as a cross-encoder: one to one, one to many, many to many', async () => {
    const expected = (query: string, text: string): unknown => expect.closeTo(probabilities(rerankPrompt(query, text), ['yes', 'no'])[0]!, 6);
    const score = (index: number, query: string, text: string): object => ({ index, object: 'score', score: expected(query, text) });
    expect((await ask('/v1/score', { text_1: 'a', text_2: 'b' })).data).toEqual([score(0, 'a', 'b')]);
    expect((await ask('/score', { text_1: 'a', text_2: ['b', 'c'] })).data).toEqual([score(0, 'a', 'b'), score(1, 'a', 'c')]);
    expect((await ask('/v1/score', { queries: ['a', 'd'], documents: ['b', 'c'] })).data).toEqual([score(0, 'a', 'b'), score(1, 'd', 'c')]);
    expect(await messageOf(ask('/v1/score', { text_1: ['a', 'b'], text_2: ['c', 'd', 'e'] }))).toMatchInlineSnapshot(`"InputError: text_1: has 2 texts, text_2 has 3; expected one, or as many as text_2"`);
  });

  const labels = [one(' yes'), one(' no'), one(' A')];
  const overVocabulary = (tokens: number[]): unknown[] => close(labels.map((label) => Math.exp(fakeLogit(tokens, label) - fakeNormalizer(tokens))));
  const among = (tokens: number[]): unknown[] => {
    const weights = labels.map((label) => Math.exp(fakeLogit(tokens, label)));
    return close(weights.map((weight) => weight / sum(weights)));
  };

  it('gives probabilities of tokens as SGLang does: over the vocabulary, or among the labels', async () => {
    const asked = { query: 'Is it a city? ', items: ['Paris', 'banana'], label_token_ids: labels, model: 'spam-mail' };
    const answer = await ask('/v1/score', asked);
    expect(answer).toMatchObject({ object: 'scoring', model: 'spam-mail' });
    expect(answer.scores).toEqual(['Is it a city? Paris', 'Is it a city? banana'].map((text) => overVocabulary(encode(text))));
    expect((await ask('/v1/score', { ...asked, apply_softmax: true })).scores[0]).toEqual(among(encode('Is it a city? Paris')));
    expect((await ask('/v1/score', { ...asked, item_first: true })).scores[1]).toEqual(overVocabulary(encode('bananaIs it a city? ')));
    const tokens = { ...asked, query: [5, 6, 7], items: [[8, 9], [10]] };
    expect((await ask('/v1/score', tokens)).scores).toEqual([overVocabulary([5, 6, 7, 8, 9]), overVocabulary([5, 6, 7, 10])]);
    expect(await messageOf(ask('/v1/score', { ...tokens, query: 'text' }))).toMatchInlineSnapshot(`"InputError: items[0]: is a list of tokens and the query is not; expected the same kind"`);
    expect(await messageOf(ask('/v1/score', { ...asked, label_token_ids: [1, 4096] }))).toMatchInlineSnapshot(`"InputError: label_token_ids[1]: expected a token from 0 to 4095, got 4096"`);
  });

  it('names the field that is wrong in the shape that was meant', async () => {
    expect(await messageOf(ask('/v1/score', { text_1: 'a' }))).toMatchInlineSnapshot(`"InputError: text_2: expected a text or a list of texts, got nothing"`);
    expect(await messageOf(ask('/v1/score', { queries: 'a', documents: 7 }))).toMatchInlineSnapshot(`"InputError: documents: expected a text or a list of texts, got 7"`);
    expect(await messageOf(ask('/v1/score', { query: 'a', items: ['b'], label_token_ids: 'yes' }))).toMatchInlineSnapshot(`"InputError: label_token_ids: expected a list of tokens, got "yes""`);
  });

  it('gives the first label alone at /generative_scoring, tokenising query and item apart', async () => {
    const asked = { query: 'Is it a city? ', items: ['Paris', 'banana'], label_token_ids: labels.slice(0, 2) };
    const prompt = (item: string): number[] => [...encode('Is it a city? '), ...encode(item)];
    const weight = (item: string, label: number): number => Math.exp(fakeLogit(prompt(item), label));
    const answer = await ask('/generative_scoring', asked);
    expect(answer.data).toEqual(['Paris', 'banana'].map((item, index) =>
      ({ index, object: 'score', score: expect.closeTo(weight(item, labels[0]!) / (weight(item, labels[0]!) + weight(item, labels[1]!)), 6) })));
    const whole = await ask('/v1/generative_scoring', { ...asked, apply_softmax: false });
    expect(whole.data[0].score).toBeCloseTo(Math.exp(fakeLogit(prompt('Paris'), labels[0]!) - fakeNormalizer(prompt('Paris'))), 6);
  });
});

describe('/v1/decisions', () => {
  const context = 'The train was two hours late.';

  it('chooses one of several options by their letters in one prompt', async () => {
    const service = fakeService();
    const answer = await ask('/v1/decisions', { kind: 'choice', context, question: 'What is this about?', options: ['sports', 'travel', 'food'] }, { service });
    expect(service.requests).toHaveLength(1);
    expect(tokenizer.decode([...service.requests[0]!.tokens])).toMatchInlineSnapshot(`
      "The train was two hours late.

      What is this about?

      A. sports
      B. travel
      C. food

      Answer with the letter of the option that fits best: A, B, C.
      Answer:"
    `);
    const expected = probabilities(tokenizer.decode([...service.requests[0]!.tokens]), ['A', 'B', 'C']);
    const best = expected.indexOf(Math.max(...expected));
    expect(answer.options).toEqual(['sports', 'travel', 'food'].map((option, index) => ({ index, option, selected: index === best, probability: expect.closeTo(expected[index]!, 6) })));
    expect(answer.selected).toEqual([['sports', 'travel', 'food'][best]]);
  });

  it('selects every option that fits, with one sibling prompt for each that share everything before it', async () => {
    const service = fakeService();
    const options = ['delayed', 'praise', 'refund', 'transport'];
    const answer = await ask('/v1/decisions', { kind: 'multi', instructions: 'Tag complaints.', context, options }, { service });
    const prompts = service.requests.map(({ tokens }) => tokenizer.decode([...tokens]));
    expect(prompts[1]).toMatchInlineSnapshot(`
      "Tag complaints.

      The train was two hours late.

      Option:
      praise

      Does the option fit? Answer with one of these words: yes, no.
      Answer:"
    `);
    const shared = encode(prompts[0]!.slice(0, prompts[0]!.indexOf('delayed') - 1)).length;
    for (const { tokens } of service.requests) expect([...tokens.subarray(0, shared)]).toEqual([...service.requests[0]!.tokens.subarray(0, shared)]);
    const expected = prompts.map((prompt) => probabilities(prompt, ['yes', 'no'])[0]!);
    expect(answer.options.map(({ probability }: { probability: number }) => probability)).toEqual(close(expected));
    const order = [0, 1, 2, 3].sort((a, b) => expected[b]! - expected[a]!);
    expect(answer.selected).toEqual(order.filter((i) => expected[i]! >= 0.5).map((i) => options[i]));
    const best = await ask('/v1/decisions', { kind: 'multi', instructions: 'Tag complaints.', context, options, top_k: 3 });
    expect(best.selected).toEqual(order.slice(0, 3).map((i) => options[i]));
    const sure = await ask('/v1/decisions', { kind: 'multi', instructions: 'Tag complaints.', context, options, top_k: 3, threshold: expected[order[0]!]! - 1e-9 });
    expect(sure.selected).toEqual([options[order[0]!]]);
  });

  it('verifies a claim against evidence', async () => {
    const service = fakeService();
    const asked = { kind: 'verify', claim: 'It was on time.', evidence: context };
    const answer = await ask('/v1/decisions', asked, { service });
    const [yes, no] = probabilities(tokenizer.decode([...service.requests[0]!.tokens]), ['yes', 'no']);
    expect(answer.options).toEqual([
      { index: 0, option: 'yes', selected: yes! >= 0.5, probability: expect.closeTo(yes!, 6) },
      { index: 1, option: 'no', selected: yes! < 0.5, probability: expect.closeTo(no!, 6) },
    ]);
    expect((await ask('/v1/decisions', { ...asked, threshold: yes! - 1e-9 })).selected).toEqual(['yes']);
    expect((await ask('/v1/decisions', { ...asked, threshold: Math.min(1, yes! + 1e-9) })).selected).toEqual(['no']);
  });

  it('refuses what is no decision', async () => {
    const refusal = (body: object): Promise<string> => messageOf(ask('/v1/decisions', body));
    expect(await refusal({ kind: 'rank' })).toMatchInlineSnapshot(`"InputError: kind: expected "choice", "multi" or "verify""`);
    expect(await refusal({ kind: 'choice', context, options: ['only one'] })).toMatchInlineSnapshot(`"InputError: options: expected 2 to 26 texts, got 1"`);
    expect(await refusal({ kind: 'choice', context: ' ', options: ['a', 'b'] })).toMatchInlineSnapshot(`"InputError: context: is empty; expected a text"`);
    expect(await refusal({ kind: 'multi', context, options: ['a', ' '] })).toMatchInlineSnapshot(`"InputError: options: [1]: expected a text that is not empty, got " ""`);
    const long = 'x '.repeat(10_000);
    for (const body of [{ kind: 'choice', context, options: ['a', long] }, { kind: 'choice', context, instructions: long, options: ['a', 'b'] }, { kind: 'multi', context: long, options: ['a'] }]) {
      expect(await refusal(body)).toMatch(/^InputError: \S+: has 2\d{4} characters, of which the first 16384 make \d+ tokens; expected at most 2048 tokens$/);
    }
    expect(await refusal({ kind: 'multi', context, options: ['a'], threshold: 1.5 })).toMatchInlineSnapshot(`"InputError: threshold: expected at most 1, got 1.5"`);
  });
});

describe('every operation', () => {
  const bodies: Record<string, object> = {
    '/v1/completions': { prompt: 'a' }, '/v1/classify': { input: 'a', labels: ['spam', 'ham'] }, '/v1/rerank': { query: 'a', documents: ['b'] },
    '/v1/score': { text_1: 'a', text_2: 'b' }, '/generative_scoring': { query: 'a', items: ['b'], label_token_ids: [1] },
    '/v1/decisions': { kind: 'verify', claim: 'a', evidence: 'b' },
  };

  it.each(OPERATIONS.map(({ path }) => path))('%s knows its model only, by name or without', async (path) => {
    expect(await messageOf(ask(path, { ...bodies[path], model: 'gpt-5' }))).toBe('UnknownModelError: model: "gpt-5" is not served here; expected "spam-mail", or no model');
    for (const model of ['spam-mail', null, undefined]) expect(await messageOf(ask(path, { ...bodies[path], model }))).toBe('no error');
  });

  it('withdraws the other prompts of a request when one is refused', async () => {
    const service = fakeService();
    const release = service.hold();
    service.refusing = null;
    const submit = service.submit.bind(service);
    service.submit = (request) => (service.requests.length < 2 ? submit(request) : Promise.reject(new OverloadedError(2, 3)));
    expect(await messageOf(ask('/v1/completions', { prompt: ['a', 'b', 'c'] }, { service }))).toBe('OverloadedError: 2 requests are waiting, no more are taken; try again in 3 s');
    expect(service.withdrawn).toHaveLength(2);
    release();
  });

  it('refuses more prompts in a request than the server takes, before it looks at them', async () => {
    const model = servedModel({ maxPrompts: 2 });
    expect(await messageOf(ask('/v1/rerank', { query: 'q', documents: ['a', 'b', 'c'] }, { model }))).toMatchInlineSnapshot(`"InputError: documents: makes 3 prompts; expected at most 2 in one request"`);
  });

  it('makes nothing of a list that is too long', async () => {
    const documents: string[] = Array.from({ length: 3_000_000 }, () => 'x');
    expect(await messageOf(ask('/v1/rerank', { query: 'q', documents }))).toMatchInlineSnapshot(`"InputError: documents: makes 3000000 prompts; expected at most 2048 in one request"`);
    expect(await messageOf(ask('/v1/score', { text_1: 'q', text_2: documents }))).toMatchInlineSnapshot(`"InputError: text_2: makes 3000000 prompts; expected at most 2048 in one request"`);
  });

  it('refuses lists of millions in a moment, naming the first element that is wrong', async () => {
    const list: unknown[] = Array.from({ length: 3_000_000 }, () => 1);
    list[2_999_999] = 'x';
    expect(await messageOf(ask('/v1/completions', { prompt: list }))).toMatchInlineSnapshot(`"InputError: prompt: [2999999]: expected a token, a whole number from 0, got "x""`);
    expect(await messageOf(ask('/v1/classify', { input: list, labels: list }))).toMatchInlineSnapshot(`"InputError: input: [0]: expected a text, got 1"`);
  });
});
