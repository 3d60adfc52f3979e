import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { completions } from '../../src/serving/operations/completions.ts';
import { parseBody } from '../../src/serving/operations/index.ts';
import { fakeLogit, fakeNormalizer, fakeService, fakeTop, servedModel } from './operations-fakes.ts';

const model = servedModel();
const { tokenizer } = model;

async function complete(body: object, service = fakeService()): Promise<any> {
  const answer = await completions.run(parseBody(completions.body, body), { service, model, signal: new AbortController().signal });
  expect(completions.response.safeParse(answer).error).toBeUndefined();
  return answer;
}
const messageOf = (body: object): Promise<string> => complete(body).then(() => 'no error', (error: Error) => error.message);
const logprob = (prefix: number[], token: number): number => fakeLogit(prefix, token) - fakeNormalizer(prefix);
const text = (token: number): string => tokenizer.decode([token]);

describe('/v1/completions', () => {
  it('answers the likeliest next token of each prompt, given as text or as tokens', async () => {
    const prompts = ['Hello there', 'Is this spam?'].map((prompt) => tokenizer.encode(prompt));
    const expected = prompts.map((tokens, index) => ({ index, text: text(fakeTop(tokens, 1)[0]!), logprobs: null, finish_reason: 'length' }));
    expect((await complete({ prompt: ['Hello there', 'Is this spam?'] })).choices).toEqual(expected);
    expect((await complete({ prompt: prompts })).choices).toEqual(expected);
    expect((await complete({ prompt: prompts[0] })).choices).toEqual(expected.slice(0, 1));
    expect((await complete({ prompt: 'Hello there' })).choices).toEqual(expected.slice(0, 1));
  });

  it('counts prompt, answered and cached tokens over all prompts', async () => {
    const answer = await complete({ prompt: [Array(40).fill(7), [1, 2, 3]], max_tokens: 1 });
    expect(answer.usage).toEqual({ prompt_tokens: 43, completion_tokens: 2, total_tokens: 45, prompt_tokens_details: { cached_tokens: 32 } });
    expect(answer).toMatchObject({ object: 'text_completion', model: 'spam-mail', id: expect.stringMatching(/^cmpl-/) });
  });

  it('tells the log-probability of the answer and the likeliest tokens beside it', async () => {
    const tokens = tokenizer.encode('Hello there');
    const { logprobs } = (await complete({ prompt: 'Hello there', logprobs: 5 })).choices[0];
    const top = fakeTop(tokens, 5);
    expect(logprobs.tokens).toEqual([text(top[0]!)]);
    expect(logprobs.token_logprobs).toEqual([expect.closeTo(logprob(tokens, top[0]!), 5)]);
    expect(Object.values(logprobs.top_logprobs[0])).toEqual(top.map((token) => expect.closeTo(logprob(tokens, token), 5)));
    expect(logprobs.text_offset).toEqual([0]);
  });

  it('echoes the prompt with the log-probability of each of its tokens, the first without', async () => {
    const prompt = 'Unwanted bulk mail';
    const tokens = tokenizer.encode(prompt);
    const { choices: [choice] } = await complete({ prompt, echo: true, logprobs: 1, max_tokens: 0 });
    expect(choice.text).toBe(prompt);
    expect(choice.logprobs.tokens).toEqual(tokens.map(text));
    expect(choice.logprobs.token_logprobs).toEqual([null, ...tokens.slice(1).map((token, i) => expect.closeTo(logprob(tokens.slice(0, i + 1), token), 5))]);
    expect(choice.logprobs.top_logprobs[0]).toBeNull();
    choice.logprobs.text_offset.forEach((at: number, i: number) => expect(prompt.slice(at)).toMatch(new RegExp(`^${text(tokens[i]!)}`)));
  });

  it('puts the answer behind the echo', async () => {
    const prompt = 'Unwanted bulk mail';
    const next = fakeTop(tokenizer.encode(prompt), 1)[0]!;
    const { choices: [choice], usage } = await complete({ prompt, echo: true, logprobs: 1, max_tokens: 1 });
    expect(choice.text).toBe(prompt + text(next));
    expect(choice.logprobs.tokens.at(-1)).toBe(text(next));
    expect(choice.logprobs.token_logprobs).toHaveLength(usage.prompt_tokens + 1);
  });

  it('runs nothing where nothing is asked for', async () => {
    const service = fakeService();
    expect((await complete({ prompt: 'abc', echo: true, max_tokens: 0 }, service)).choices[0]).toEqual({ index: 0, text: 'abc', logprobs: null, finish_reason: 'length' });
    expect(service.requests).toEqual([]);
  });

  // parse_logprobs of lm_eval/models/openai_completions.py: what the harness reads out of an answer.
  const harness = ({ logprobs: { token_logprobs: own, top_logprobs: top } }: any, contextLength: number): { sum: number; greedy: boolean } => ({
    sum: own.slice(contextLength, -1).reduce((a: number, b: number) => a + b, 0),
    greedy: own.slice(contextLength, -1).every((value: number, i: number) => value === Math.max(...Object.values<number>(top[contextLength + i]))),
  });

  it('lets an evaluation harness read log-likelihood and greediness of any continuation', async () => {
    await fc.assert(fc.asyncProperty(
      fc.array(fc.nat(4095), { minLength: 1, maxLength: 6 }), fc.array(fc.oneof(fc.nat(4095), fc.constant(-1)), { minLength: 1, maxLength: 4 }),
      async (context, drawn) => {
        // -1: the likeliest token there, so that greedy continuations are drawn as well.
        const whole = [...context];
        for (const token of drawn) whole.push(token === -1 ? fakeTop(whole, 1)[0]! : token);
        const { choices: [choice] } = await complete({ prompt: [whole], echo: true, logprobs: 1, max_tokens: 1, temperature: 0, seed: 1234 });
        const { sum, greedy } = harness(choice, context.length);
        const behind = [...whole.keys()].slice(context.length);
        expect(sum).toBeCloseTo(behind.map((i) => logprob(whole.slice(0, i), whole[i]!)).reduce((a, b) => a + b, 0), 4);
        expect(greedy).toBe(behind.every((i) => fakeTop(whole.slice(0, i), 1)[0] === whole[i]
          || fakeLogit(whole.slice(0, i), whole[i]!) === fakeLogit(whole.slice(0, i), fakeTop(whole.slice(0, i), 1)[0]!)));
      },
    ), { numRuns: 60 });
  });

  it('keeps tokens of the same text apart: the one that is there has the text, the likeliest else, the others their id', async () => {
    const halves = Array.from({ length: 4096 }, (_, token) => token).filter((token) => text(token) === '\uFFFD');
    expect(halves.length).toBeGreaterThan(100);
    const there = halves[0]!;
    // A prompt after which two other half characters are among the likeliest 20.
    const prefix = Array.from({ length: 100_000 }, (_, i) => [i % 4096, Math.floor(i / 4096)]).find((tokens) => fakeTop(tokens, 20).filter((token) => halves.includes(token)).length >= 2)!;
    const { choices: [choice] } = await complete({ prompt: [...prefix, there], echo: true, logprobs: 20, max_tokens: 0 });
    const top = choice.logprobs.top_logprobs[2];
    expect(top['\uFFFD']).toBe(choice.logprobs.token_logprobs[2]);
    for (const token of fakeTop(prefix, 20).filter((one) => halves.includes(one) && one !== there)) expect(top[`token_id:${token}`]).toBeCloseTo(logprob(prefix, token), 5);
    expect(Object.keys(top)).toHaveLength(new Set([...fakeTop(prefix, 20), there]).size);
  });

  it('writes tokens by their ids when asked to', async () => {
    const { choices: [choice] } = await complete({ prompt: [5, 6], echo: true, logprobs: 0, max_tokens: 0, return_tokens_as_token_ids: true });
    expect(choice.logprobs.tokens).toEqual(['token_id:5', 'token_id:6']);
    expect(Object.keys(choice.logprobs.top_logprobs[1])).toEqual(['token_id:6']);
  });

  it('ends before a stop text, and at a special token', async () => {
    const tokens = tokenizer.encode('Hello there');
    const next = text(fakeTop(tokens, 1)[0]!);
    expect((await complete({ prompt: 'Hello there', stop: ['zzz', next.slice(1)] })).choices[0]).toMatchObject({ text: next.slice(0, 1), finish_reason: 'stop' });
    expect((await complete({ prompt: 'Hello there', stop: 'zzz' })).choices[0]).toMatchObject({ text: next, finish_reason: 'length' });
    const ending = Array.from({ length: 20_000 }, (_, i) => [i % 4096, Math.floor(i / 4096)]).find((prompt) => fakeTop(prompt, 1)[0] === 0)!;
    expect((await complete({ prompt: ending })).choices[0]).toMatchObject({ text: '', finish_reason: 'stop' });
  });

  it('takes settings that cannot change the answer, and refuses the others with the reason', async () => {
    expect(await messageOf({ prompt: 'a', temperature: 0, top_p: 0.5, n: 1, best_of: 1, seed: 7, stream: false, suffix: '', logit_bias: {}, user: 'me', unknown: 1 })).toBe('no error');
    expect(await messageOf({ prompt: 'a', temperature: 0.7, max_tokens: 0 })).toBe('no error');
    const refusals = await Promise.all([
      { max_tokens: 16 }, { max_tokens: -1 }, { temperature: 0.7 }, { n: 2 }, { best_of: 3 }, { stream: true }, { suffix: 'b' }, { presence_penalty: 1 },
      { frequency_penalty: -1 }, { logit_bias: { 5: 1 } }, { logprobs: 21 }, { logprobs: true }, { stop: [1] }, { prompt: [] }, { prompt: [['a']] }, { prompt: [1, 'a'] },
      { prompt: [1.5] }, { prompt: [4096] }, { prompt: ['a', ''] }, { prompt: null }, { prompt: Array(2049).fill(1) },
    ].map((body) => messageOf({ prompt: 'a', ...body })));
    expect(refusals.join('\n')).toMatchInlineSnapshot(`
      "max_tokens: 16; this server answers from one pass over the prompt, expected 0 or 1
      max_tokens: -1; this server answers from one pass over the prompt, expected 0 or 1
      temperature: 0.7; the likeliest token is answered, nothing is drawn; expected 0
      n: 2; the likeliest token is answered, all answers would be the same; expected 1
      best_of: 3; the likeliest token is answered; expected 1
      stream: true; there is one token to answer, expected false
      suffix: is not supported; expected none
      presence_penalty: 1; the likeliest token is answered; expected 0
      frequency_penalty: -1; the likeliest token is answered; expected 0
      logit_bias: is not supported; expected none
      logprobs: expected at most 20, got 21
      logprobs: expected a number, got true
      stop: [0]: expected a text, got 1
      prompt: expected a text, a list of texts, a list of tokens, or a list of lists of tokens; got an empty list
      prompt: [0][0]: expected a token, a whole number from 0, got "a"
      prompt: [1]: expected a token, a whole number from 0, got "a"
      prompt: [0]: expected a token, a whole number from 0, got 1.5
      prompt: tokens[0]: expected a token from 0 to 4095, got 4096
      prompt[1]: tokens: is empty; expected at least one token
      prompt: expected a text, a list of texts, a list of tokens, or a list of lists of tokens; got null
      prompt: has 2049 tokens; expected at most 2048"
    `);
  });
});
