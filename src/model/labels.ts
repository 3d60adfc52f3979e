/** Labels as tokens: an answer is one token, so every label has to be one. */
import { InputError } from '../errors.ts';
import type { ModelTokenizer } from './tokenizer.ts';

/** The label's spelling as the continuation of a prompt: with a leading space, or as it is. */
type Spelling = (label: string) => string;
const spaced: Spelling = (label) => ` ${label}`;
const plain: Spelling = (label) => label;

/**
 * The token of each label, as the continuation of `prompt`. After whitespace that is the label itself; otherwise the label with a leading
 * space, or the label itself. All labels are spelled alike where that is possible: their logits are compared.
 * @param source what messages call the list of labels
 * @throws InputError naming a label of several tokens with its tokens, or two labels with the same token
 */
export function labelTokens(tokenizer: ModelTokenizer, labels: readonly string[], prompt: string, source = 'labels'): number[] {
  if (labels.length < 2) throw new InputError(source, '', `expected at least two labels, got ${labels.length}`);
  const empty = labels.find((label) => label.trim() === '');
  if (empty !== undefined) throw new InputError(source, JSON.stringify(empty), 'is empty; expected a word');
  const encode = (text: string): number[] => tokenizer.encode(text, { specialTokens: false });
  const spellings = /\s$/.test(prompt) ? [plain] : [spaced, plain];
  const uniform = spellings.map((spell) => labels.map((label) => encode(spell(label)))).find((all) => all.every(isOne));
  const tokens = (uniform ?? labels.map((label) => oneToken(label, spellings, encode, tokenizer, source))).map((ids) => ids[0]!);
  tokens.forEach((token, i) => {
    const first = tokens.indexOf(token);
    if (first !== i) throw new InputError(source, labels[i]!, `is the same token as ${JSON.stringify(labels[first])}; expected labels that differ`);
  });
  return tokens;
}

const isOne = (tokens: readonly number[]): boolean => tokens.length === 1;

function oneToken(label: string, spellings: readonly Spelling[], encode: (text: string) => number[], tokenizer: ModelTokenizer, source: string): number[] {
  const tried = spellings.map((spell) => encode(spell(label)));
  const found = tried.find(isOne);
  if (found !== undefined) return found;
  const parts = tried[0]!.map((token) => JSON.stringify(tokenizer.decode([token])));
  throw new InputError(source, label, `has ${parts.length} tokens (${parts.join(', ')}); expected a label of one token`);
}
