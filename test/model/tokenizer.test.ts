import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type ModelFiles, memoryFiles } from '../../src/model/files.ts';
import { openTokenizer } from '../../src/model/tokenizer.ts';
import { openFolder } from '../../src/node/files.ts';
import { messageOf } from './folders.ts';

/** Made by make.py there, with the Rust library and transformers. */
const FOLDER = fileURLToPath(new URL('./tokenizer', import.meta.url));
const read = (name: string): string => readFileSync(`${FOLDER}/${name}`, 'utf8');
const cases = JSON.parse(read('cases.json')) as {
  texts: { text: string; tokens: number[]; decoded: string }[];
  messages: { role: 'system' | 'user'; content: string }[];
  chat: string;
};
const tokenizer = await openTokenizer(await openFolder(FOLDER));
const refusal = (files: ModelFiles): Promise<string> => messageOf(() => openTokenizer(files));
const json = JSON.parse(read('tokenizer.json'));
const config = JSON.parse(read('tokenizer_config.json'));
const folder = (tokenizerJson: object, configJson?: object, more = {}): ModelFiles => memoryFiles('m', {
  'tokenizer.json': JSON.stringify(tokenizerJson), ...(configJson && { 'tokenizer_config.json': JSON.stringify(configJson) }), ...more,
});

describe('the tokenizer', () => {
  it.each(cases.texts)('makes of $text what the Rust library makes', ({ text, tokens, decoded }) => {
    expect(tokenizer.encode(text)).toEqual(tokens);
    expect(tokenizer.decode(tokens)).toBe(decoded);
  });

  it('takes nothing for nothing', () => {
    expect(tokenizer.encode('')).toEqual([]);
    expect(tokenizer.decode([])).toBe('');
  });

  it('adds what the post-processor adds, unless told otherwise', async () => {
    const beginning = {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<|endoftext|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '<|endoftext|>': { id: '<|endoftext|>', ids: [tokenizer.encode('<|endoftext|>')[0]], tokens: ['<|endoftext|>'] } },
    };
    const other = await openTokenizer(folder({ ...json, post_processor: beginning }));
    expect(other.encode(' yes', { specialTokens: false })).toEqual(tokenizer.encode(' yes'));
    expect(other.encode(' yes')).toEqual(tokenizer.encode('<|endoftext|> yes'));
    expect(other.decode(other.encode(' yes'), { specialTokens: false })).toBe(' yes');
  });

  it('renders the chat template as transformers does, up to the answer', () => {
    expect(tokenizer.chat(cases.messages)).toBe(cases.chat);
  });

  it('takes the chat template from chat_template.jinja first, or from a list of named ones', async () => {
    const message = [{ role: 'user', content: 'hi' }] as const;
    const file = await openTokenizer(folder(json, config, { 'chat_template.jinja': '{{ eos_token }}{{ messages[0].content }}' }));
    expect(file.chat(message)).toBe('<|im_end|>hi');
    const list = await openTokenizer(folder(json, { chat_template: [{ name: 'tool', template: 't' }, { name: 'default', template: 'd' }] }));
    expect(list.chat(message)).toBe('d');
    const none = await openTokenizer(folder(json));
    expect(none.hasChatTemplate).toBe(false);
    expect(await messageOf(() => none.chat(message))).toMatchInlineSnapshot(`"InputError: m: chat_template: the model has none; expected one in tokenizer_config.json or chat_template.jinja"`);
  });

  it('is refused when its files are missing or broken', async () => {
    expect(await refusal(memoryFiles('m', {}))).toMatchInlineSnapshot(`"InputError: m/tokenizer.json: no such file; texts need a tokenizer (token lists do not)"`);
    expect(await refusal(memoryFiles('m', { 'tokenizer.json': '{' }))).toMatch(/^InputError: m\/tokenizer.json: is not valid JSON: /);
    expect(await refusal(folder({ version: '1.0' }))).toMatchInlineSnapshot(`"InputError: m/tokenizer.json: model: expected an object, got nothing"`);
    expect(await refusal(folder({ ...json, model: { type: 'Magic', vocab: {} } }))).toMatchInlineSnapshot(`"InputError: m/tokenizer.json: model.type: expected "BPE", "WordPiece" or "Unigram", got "Magic""`);
    expect(await refusal(folder({ ...json, pre_tokenizer: { type: 'Magic' } }))).toMatchInlineSnapshot(`"InputError: m/tokenizer.json: is not a tokenizer that can be used: Unknown PreTokenizer type: Magic"`);
    expect(await refusal(folder(json, { chat_template: 3 }))).toMatchInlineSnapshot(`"InputError: m/tokenizer_config.json: chat_template: expected a text, or a list of {name, template}"`);
    expect(await refusal(folder(json, { chat_template: '{% if %}' }))).toMatchInlineSnapshot(`"InputError: m/tokenizer_config.json: chat_template: is not a Jinja template: Unexpected token: CloseStatement"`);
    expect(await refusal(folder(json, [] as object))).toMatchInlineSnapshot(`"InputError: m/tokenizer_config.json: expected a JSON object, got []"`);
  });
});
