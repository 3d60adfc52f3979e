/** How single tokens are written in answers. */
import type { ModelTokenizer } from '../../model/tokenizer.ts';

/** The text of a token, and its length in characters (code points, as clients in Python count them). */
export interface TokenText {
  readonly text: string;
  readonly characters: number;
}

/**
 * Writes tokens as vLLM does: as the text that the token decodes to on its own; bytes that are not a whole character become U+FFFD.
 * With `asIds` as `token_id:123`, which is the only spelling that tells all tokens apart.
 */
export function tokenTexts(tokenizer: ModelTokenizer, asIds: boolean): (token: number) => TokenText {
  if (asIds) return (token) => textOf(idText(token));
  const known = decoded.get(tokenizer) ?? new Map<number, TokenText>();
  decoded.set(tokenizer, known);
  return (token) => {
    const found = known.get(token) ?? textOf(tokenizer.decode([token]));
    known.set(token, found);
    return found;
  };
}

/** `token_id:123` */
export const idText = (token: number): string => `token_id:${token}`;

/** One entry a token of the vocabulary at most. */
const decoded = new WeakMap<ModelTokenizer, Map<number, TokenText>>();

const textOf = (text: string): TokenText => ({ text, characters: [...text].length });
