/** The tokenizer of a model folder: tokenizer.json, tokenizer_config.json and the chat template. */
import { Tokenizer } from '@huggingface/tokenizers';
import * as z from 'zod';
import { InputError } from '../errors.ts';
import { field, parseWith } from './fields.ts';
import { type ModelFiles, parseJson, requiredText, show, sourceOf } from './files.ts';
import { compileJinja, type JinjaTemplate } from './jinja.ts';

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface ModelTokenizer {
  /** What messages call it. */
  readonly source: string;
  /** Tokens of a text; `specialTokens` (default true) adds what the model wants around every text, a beginning-of-text token say. */
  encode(text: string, options?: { specialTokens?: boolean }): number[];
  /** Text of tokens; `specialTokens` (default true) keeps them visible. */
  decode(tokens: readonly number[], options?: { specialTokens?: boolean }): string;
  readonly hasChatTemplate: boolean;
  /**
   * Renders a conversation up to where the assistant's answer begins. Reasoning is switched off where the template knows the switch
   * (`enable_thinking`): the answer is the very next token.
   * @throws InputError when the model has no chat template
   */
  chat(messages: readonly ChatMessage[]): string;
}

const added = z.union([z.string(), z.object({ content: z.string() }).loose()]);
const tokenizerSchema = z.object({
  // Without a type the library guesses from the other keys, as the Rust library does; an unknown one it would ignore.
  model: z.object({
    type: field<string>('"BPE", "WordPiece" or "Unigram"', (value) => value === 'BPE' || value === 'WordPiece' || value === 'Unigram').optional(),
  }, { error: (issue) => `expected an object, got ${show(issue.input)}` }).loose(),
  added_tokens: z.array(z.unknown()).default([]),
}).loose();
const configSchema = z.object({
  chat_template: z.union([z.string(), z.array(z.object({ name: z.string(), template: z.string() })), z.null()],
    { error: 'expected a text, or a list of {name, template}' }).optional(),
  bos_token: added.nullish(),
  eos_token: added.nullish(),
  pad_token: added.nullish(),
  unk_token: added.nullish(),
}).loose();
type TokenizerConfig = z.infer<typeof configSchema>;

/**
 * Opens the tokenizer of a model folder. Only tokenizer.json is required.
 * @throws InputError naming the file that is missing or broken
 */
export async function openTokenizer(files: ModelFiles): Promise<ModelTokenizer> {
  const source = sourceOf(files, 'tokenizer.json');
  const text = await requiredText(files, 'tokenizer.json', 'texts need a tokenizer (token lists do not)');
  const json = parseWith(tokenizerSchema, parseJson(text, source), source);
  const config = await readTokenizerConfig(files);
  const tokenizer = build(json, config, source);
  const template = await chatTemplate(files, config);
  const specials = specialTokens(config);
  return {
    source,
    encode: (content, { specialTokens: add = true } = {}) => tokenizer.encode(content, { add_special_tokens: add }).ids,
    decode: (tokens, { specialTokens: keep = true } = {}) =>
      (tokens.length === 0 ? '' : tokenizer.decode([...tokens], { skip_special_tokens: !keep, clean_up_tokenization_spaces: false })),
    hasChatTemplate: template !== null,
    chat: (messages) => {
      if (template === null) throw new InputError(files.name, 'chat_template', 'the model has none; expected one in tokenizer_config.json or chat_template.jinja');
      return template({ ...specials, messages, add_generation_prompt: true, enable_thinking: false });
    },
  };
}

async function readTokenizerConfig(files: ModelFiles): Promise<TokenizerConfig> {
  if (!(await files.exists('tokenizer_config.json'))) return {};
  const source = sourceOf(files, 'tokenizer_config.json');
  return parseWith(configSchema, parseJson(await files.text('tokenizer_config.json'), source), source);
}

function build(json: object, config: TokenizerConfig, source: string): Tokenizer {
  // The library wants these keys to be there; absent and null mean the same in the file.
  const optional = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
  try {
    return new Tokenizer({ ...optional, ...json }, config);
  } catch (error) {
    throw new InputError(source, '', `is not a tokenizer that can be used: ${(error as Error).message}`);
  }
}

/** chat_template.jinja, where newer versions of transformers keep it, goes before tokenizer_config.json. */
async function chatTemplate(files: ModelFiles, { chat_template: inline }: TokenizerConfig): Promise<JinjaTemplate | null> {
  if (await files.exists('chat_template.jinja')) {
    return compileJinja(await files.text('chat_template.jinja'), sourceOf(files, 'chat_template.jinja'));
  }
  const text = Array.isArray(inline) ? inline.find(({ name }) => name === 'default')?.template : inline;
  return text == null ? null : compileJinja(text, `${sourceOf(files, 'tokenizer_config.json')}: chat_template`);
}

/** `bos_token` and the like, which chat templates use by name. */
function specialTokens(config: TokenizerConfig): Record<string, string> {
  const names = ['bos_token', 'eos_token', 'pad_token', 'unk_token'] as const;
  return Object.fromEntries(names.flatMap((name) => {
    const token = config[name];
    return token == null ? [] : [[name, typeof token === 'string' ? token : token.content]];
  }));
}
