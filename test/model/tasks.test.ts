import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { labelTokens } from '../../src/model/labels.ts';
import { checkTokens, createTask, softmax, type TaskOptions } from '../../src/model/tasks.ts';
import { openTokenizer } from '../../src/model/tokenizer.ts';
import { openFolder } from '../../src/node/files.ts';
import { messageOf } from './folders.ts';

const tokenizer = await openTokenizer(await openFolder(fileURLToPath(new URL('./tokenizer', import.meta.url))));
const config = { vocabSize: 1000, maxPositionEmbeddings: 300 };
const task = (options: Partial<TaskOptions> = {}) => createTask({ kind: 'classify', tokenizer, config, labels: ['spam', 'yes'], ...options });
const refusal = (options: Partial<TaskOptions>, record: object = { text: 'hello' }): Promise<string> =>
  messageOf(() => task(options).prompt(record as Record<string, unknown>, 'mails.jsonl line 3'));
const one = (text: string): number => {
  const tokens = tokenizer.encode(text);
  expect(tokens.length).toBe(1);
  return tokens[0]!;
};

describe('prompts', () => {
  it('of the default templates end where a word with its space follows', () => {
    expect(task().prompt({ text: 'Buy now' }, 'x').text).toMatchInlineSnapshot(`
      "Classify the text. Answer with one of these words: spam, yes.

      Text:
      Buy now

      Answer:"
    `);
    const rerank = task({ kind: 'rerank', labels: undefined });
    expect(rerank.prompt({ query: 'fox', candidate: 'a quick brown fox' }, 'x').text).toMatchInlineSnapshot(`
      "Does the candidate fit the query? Answer with one of these words: yes, no.

      Query:
      fox

      Candidate:
      a quick brown fox

      Answer:"
    `);
    const verify = task({ kind: 'verify', labels: undefined });
    const prompt = verify.prompt({ claim: 'It rains.', evidence: 'Wet streets.' }, 'x');
    expect(prompt.text).toMatchInlineSnapshot(`
      "Does the evidence support the claim? Answer with one of these words: yes, no.

      Evidence:
      Wet streets.

      Claim:
      It rains.

      Answer:"
    `);
    expect(prompt.candidates).toEqual([one(' yes'), one(' no')]);
    expect(prompt.tokens).toEqual(tokenizer.encode(prompt.text));
  });

  it('of siblings share all tokens before the candidate', () => {
    const rerank = task({ kind: 'rerank', labels: undefined });
    const [a, b] = ['apples', 'pears'].map((candidate) => rerank.prompt({ query: 'fruit', candidate }, 'x').tokens);
    const shared = a!.findIndex((token, i) => token !== b![i]);
    expect(shared).toBeGreaterThan(a!.length * 0.8);
  });

  it('come from a template of the user with variables of their own, without interpreting the text', () => {
    const own = task({ template: '{{ lang | upper }}: {{ text }} =' });
    expect(own.prompt({ text: '{{ labels }} {% raw %}', lang: 'en' }, 'x').text).toBe('EN: {{ labels }} {% raw %} =');
  });

  it('can stand in the chat template of the model', () => {
    const { text, tokens, candidates } = task({ template: 'Spam? {{ text }}', chat: true }).prompt({ text: 'hi' }, 'x');
    expect(text).toBe('<|im_start|>user\nSpam? hi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n');
    expect(tokens).toEqual(tokenizer.encode(text));
    // After whitespace a label has no space of its own.
    expect(candidates).toEqual([one('spam'), one('yes')]);
  });

  it('are refused when a text is missing or empty', async () => {
    expect(await refusal({}, {})).toMatchInlineSnapshot(`"InputError: mails.jsonl line 3: text: expected a text, got nothing"`);
    expect(await refusal({}, { text: 7 })).toMatchInlineSnapshot(`"InputError: mails.jsonl line 3: text: expected a text, got number"`);
    expect(await refusal({}, { text: ' \n ' })).toMatchInlineSnapshot(`"InputError: mails.jsonl line 3: text: is empty; expected a text"`);
    expect(await refusal({ kind: 'verify' }, { claim: 'c', evidence: '' })).toMatchInlineSnapshot(`"InputError: mails.jsonl line 3: evidence: is empty; expected a text"`);
  });

  it('are refused when the template is broken or leaves the text out', async () => {
    expect(await refusal({ template: '{{ text', templateSource: 'own.jinja' })).toMatch(/^InputError: own.jinja: is not a Jinja template: /);
    expect(await refusal({ template: '{{ txt }}', templateSource: 'own.jinja' })).toMatchInlineSnapshot(`"InputError: own.jinja: text: is not used; expected {{ text }} in a classify template"`);
    expect(await refusal({ kind: 'rerank', template: '{{ query }}' })).toMatchInlineSnapshot(`"InputError: rerank template: candidate: is not used; expected {{ candidate }} in a rerank template"`);
    expect(await refusal({ template: '{{ text | magic }}' })).toMatch(/^InputError: classify template: cannot be rendered: /);
    expect(await refusal({ template: '{{ lang | upper }} {{ text }}' })).toMatch(/^InputError: classify template: cannot be rendered: /);
  });
});

describe('long texts', () => {
  const template = 'T: {{ text }}\nA:';

  it('are refused without a limit, with the line they stand in', async () => {
    expect(await refusal({ template }, { text: 'x'.repeat(400) })).toMatchInlineSnapshot(`"InputError: mails.jsonl line 3: text: makes a prompt of 406 tokens; expected at most 300 (max_position_embeddings), or a limit to shorten it to"`);
  });

  it('are shortened from the end to the longest that fits', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 }), fc.integer({ min: 12, max: 60 }), (tail, maxTokens) => {
      const text = `x${tail}`;
      const limited = task({ template, maxTokens });
      const prompt = limited.prompt({ text }, 'x');
      expect(prompt.tokens.length).toBeLessThanOrEqual(maxTokens);
      expect(prompt.text.endsWith('\nA:')).toBe(true);
      const kept = prompt.text.slice(3, -3);
      expect(text.startsWith(kept)).toBe(true);
      expect(prompt.truncated).toBe(kept !== text);
      expect(kept).not.toMatch(/\p{Surrogate}/u);
      // A character is at most 4 bytes, so at most 4 tokens: one character more does not fit, or nearly.
      expect(!prompt.truncated || prompt.tokens.length >= maxTokens - 8).toBe(true);
    }), { numRuns: 100 });
  });

  it('are cut to the same beginning however long they are', () => {
    const limited = task({ template, maxTokens: 40 });
    const cut = (n: number): string => limited.prompt({ text: 'The quick brown fox. '.repeat(n) }, 'x').text;
    expect(cut(20_000)).toBe(cut(20));
  });

  it('shorten the candidate and the evidence, not the query or the claim', () => {
    const long = 'word '.repeat(200);
    const rerank = task({ kind: 'rerank', labels: undefined, maxTokens: 120 }).prompt({ query: 'the query stays', candidate: long }, 'x');
    expect(rerank.text).toContain('the query stays');
    const verify = task({ kind: 'verify', labels: undefined, maxTokens: 120 }).prompt({ claim: 'the claim stays', evidence: long }, 'x');
    expect(verify.text).toContain('the claim stays');
    expect([rerank.truncated, verify.truncated]).toEqual([true, true]);
  });

  it('need room beside the template, and a limit that the model has', async () => {
    expect(await refusal({ template, maxTokens: 5 })).toMatchInlineSnapshot(`"InputError: mails.jsonl line 3: text: has no room: the prompt without it has 6 tokens; expected fewer than 5"`);
    expect(await refusal({ template, maxTokens: 301 })).toMatchInlineSnapshot(`"InputError: max tokens: expected 1 to 300 (max_position_embeddings), got 301"`);
  });
});

describe('labels', () => {
  it('are the tokens of a word with its space, or without it after whitespace', () => {
    expect(labelTokens(tokenizer, ['yes', 'no'], 'Answer:')).toEqual([one(' yes'), one(' no')]);
    expect(labelTokens(tokenizer, ['yes', 'no'], 'Answer:\n')).toEqual([one('yes'), one('no')]);
  });

  it('are all spelled alike when they can be', () => {
    // " B" is two tokens in this vocabulary, "B" and "yes" are one each.
    expect(tokenizer.encode(' B').length).toBe(2);
    expect(labelTokens(tokenizer, ['B', 'yes'], 'Answer:')).toEqual([one('B'), one('yes')]);
  });

  it('are refused when they have several tokens, are the same, or are too few', async () => {
    const labels = (...names: string[]) => messageOf(() => labelTokens(tokenizer, names, 'Answer:', '--labels'));
    expect(await labels('spam', 'not spam')).toMatchInlineSnapshot(`"InputError: --labels: not spam: has 3 tokens (" no", "t", " spam"); expected a label of one token"`);
    expect(await labels('spam', 'yes', 'spam')).toMatchInlineSnapshot(`"InputError: --labels: spam: is the same token as "spam"; expected labels that differ"`);
    expect(await labels('spam')).toMatchInlineSnapshot(`"InputError: --labels: expected at least two labels, got 1"`);
    expect(await labels('spam', '')).toMatchInlineSnapshot(`"InputError: --labels: "": is empty; expected a word"`);
  });

  it('are checked before any record is read', async () => {
    expect(await messageOf(() => task({ labels: ['spam', 'unclear'], labelsSource: '--labels' }))).toMatchInlineSnapshot(`"InputError: --labels: unclear: has 7 tokens (" ", "u", "nc", "l", "e", "a", "r"); expected a label of one token"`);
    expect(await messageOf(() => task({ config: { ...config, vocabSize: 100 } }))).toMatchInlineSnapshot(`"InputError: labels: tokens[0]: expected a token from 0 to 99, got 275"`);
    expect(await messageOf(() => task({ labels: undefined }))).toMatchInlineSnapshot(`"InputError: labels: expected at least two labels, got 0"`);
  });
});

describe('tokens from outside', () => {
  it('are refused when they are none, too many, or not in the vocabulary', async () => {
    const check = (tokens: number[]) => messageOf(() => checkTokens(tokens, config, 'in.jsonl line 2'));
    expect(await check([0, 999])).toBe('no error');
    expect(await check([])).toMatchInlineSnapshot(`"InputError: in.jsonl line 2: tokens: is empty; expected at least one token"`);
    expect(await check(Array(301).fill(1))).toMatchInlineSnapshot(`"InputError: in.jsonl line 2: tokens: has 301 tokens; expected at most 300 (max_position_embeddings)"`);
    expect(await check([1, 1000])).toMatchInlineSnapshot(`"InputError: in.jsonl line 2: tokens[1]: expected a token from 0 to 999, got 1000"`);
    expect(await check([1, -1])).toMatchInlineSnapshot(`"InputError: in.jsonl line 2: tokens[1]: expected a token from 0 to 999, got -1"`);
    expect(await check([1.5])).toMatchInlineSnapshot(`"InputError: in.jsonl line 2: tokens[0]: expected a token from 0 to 999, got 1.5"`);
  });
});

describe('softmax', () => {
  it('gives probabilities, also of large logits', () => {
    const [a, b] = softmax([Math.log(3), 0]);
    expect(a).toBeCloseTo(0.75, 12);
    expect(b).toBeCloseTo(0.25, 12);
    expect(softmax(new Float32Array([10000, 10000]))).toEqual([0.5, 0.5]);
  });
});
