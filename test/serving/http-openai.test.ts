import OpenAI from 'openai';
import { beforeAll, describe, expect, it, afterAll } from 'vitest';
import { createApp } from '../../src/serving/http/app.ts';
import { openListener, type Listener } from '../../src/serving/http/listener.ts';
import { DrainingError, OverloadedError } from '../../src/serving/requests.ts';
import { METRICS } from './http-fakes.ts';
import { fakeLogit, fakeNormalizer, fakeService, fakeTop, servedModel } from './operations-fakes.ts';

const KEY = 'sk-test';
const service = fakeService();
const model = servedModel();
let listener: Listener;
let client: OpenAI;

beforeAll(async () => {
  listener = await openListener({ host: '127.0.0.1', port: 0, requestTimeoutMs: 10_000, keepAliveMs: 10_000 });
  const app = await createApp({ service, model, metrics: METRICS, maxBodyBytes: 1 << 16, timeoutMs: 0, apiKey: KEY });
  listener.serve((request, response) => app.routing(request, response));
  client = new OpenAI({ baseURL: `${listener.url}/v1`, apiKey: KEY, maxRetries: 0 });
});
afterAll(() => listener.close());

const complete = (body: object): Promise<OpenAI.Completion> => client.completions.create({ model: 'spam-mail', prompt: 'a', ...body } as OpenAI.CompletionCreateParamsNonStreaming);
const failure = (body: object, by = client): Promise<Error> =>
  by.completions.create({ model: 'spam-mail', prompt: 'a', ...body } as OpenAI.CompletionCreateParamsNonStreaming).then(() => new Error('none'), (error: Error) => error);

describe('the openai client', () => {
  it('completes prompts of text and of tokens', async () => {
    const tokens = [11, 12, 13];
    const answer = await complete({ prompt: tokens, max_tokens: 1 });
    expect(answer.choices[0]!.text).toBe(model.tokenizer.decode(fakeTop(tokens, 1)));
    expect(answer.usage).toEqual({ prompt_tokens: 3, completion_tokens: 1, total_tokens: 4, prompt_tokens_details: { cached_tokens: 0 } });
    expect((await complete({ prompt: ['one', 'two'] })).choices.map(({ index }) => index)).toEqual([0, 1]);
  });

  it('reads the log-probabilities of an echoed prompt', async () => {
    const tokens = [11, 12, 13, 14];
    const { choices: [choice] } = await complete({ prompt: [tokens], echo: true, logprobs: 1, max_tokens: 0 });
    const expected = tokens.map((token, i) => fakeLogit(tokens.slice(0, i), token) - fakeNormalizer(tokens.slice(0, i)));
    expect(choice!.logprobs!.token_logprobs).toEqual([null, ...expected.slice(1).map((value) => expect.closeTo(value, 5))]);
    expect(choice!.logprobs!.tokens).toEqual(tokens.map((token) => model.tokenizer.decode([token])));
  });

  it('lists the model', async () => {
    const models: OpenAI.Model[] = [];
    for await (const one of client.models.list()) models.push(one);
    expect(models).toEqual([{ id: 'spam-mail', object: 'model', created: 1_700_000_000, owned_by: 'asyncep', max_model_len: 2048 }]);
  });

  it('throws its typed errors', async () => {
    const bad = await failure({ max_tokens: 16 });
    expect(bad).toBeInstanceOf(OpenAI.BadRequestError);
    expect(bad).toMatchObject({ status: 400, param: 'max_tokens', type: 'invalid_request_error', message: expect.stringContaining('expected 0 or 1') });
    expect(await failure({ model: 'gpt-5' })).toBeInstanceOf(OpenAI.NotFoundError);
    expect(await failure({ model: 'gpt-5' })).toMatchObject({ code: 'model_not_found' });
    expect(await failure({}, new OpenAI({ baseURL: `${listener.url}/v1`, apiKey: 'wrong', maxRetries: 0 }))).toBeInstanceOf(OpenAI.AuthenticationError);
    expect(await failure({ prompt: 'x'.repeat(1 << 17) })).toMatchObject({ status: 413, code: 'body_too_large' });
    service.refusing = () => new OverloadedError(64, 1);
    expect(await failure({})).toBeInstanceOf(OpenAI.RateLimitError);
    service.refusing = () => new TypeError('x');
    expect(await failure({})).toBeInstanceOf(OpenAI.InternalServerError);
    service.refusing = null;
  });

  it.each([['a full queue', () => new OverloadedError(64, 1)], ['a server on its way down', () => new DrainingError()]])('comes back after %s', async (_, error) => {
    let refused = 0;
    const submit = service.submit.bind(service);
    service.submit = (request) => (refused++ === 0 ? Promise.reject(error()) : submit(request));
    const patient = new OpenAI({ baseURL: `${listener.url}/v1`, apiKey: KEY, maxRetries: 1 });
    const answer = await patient.completions.create({ model: 'spam-mail', prompt: [1, 2] }, { headers: {} });
    expect(answer.choices).toHaveLength(1);
    expect(refused).toBe(2);
    service.submit = submit;
  });
});
