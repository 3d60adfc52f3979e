/** Texts shortened to what a prompt has room for. */
import { InputError } from '../errors.ts';
import type { TaskRecord } from './tasks.ts';

export interface TokenLimit {
  /** The most that a prompt may have. */
  readonly tokens: number;
  /** Whether texts are shortened to it. */
  readonly trims: boolean;
}

export interface Fitted {
  readonly record: TaskRecord;
  readonly tokens: number[];
  readonly truncated: boolean;
}

/**
 * The record as it is when its prompt fits; otherwise with the longest beginning of `trimmed` that fits. Beginnings of growing length are
 * tried first, so that a book costs no more than what is kept of it.
 * @param encode tokens of the prompt of a record
 * @throws InputError when the text may not be shortened, or when nothing of it would be left
 */
export function fit(record: TaskRecord, trimmed: string, encode: (record: TaskRecord) => number[], limit: TokenLimit, where: string): Fitted {
  const text = record[trimmed] as string;
  const cut = (length: number): Fitted => {
    const truncated = length < text.length;
    const shorter = truncated ? { ...record, [trimmed]: text.slice(0, wholeCharacters(text, length)) } : record;
    return { record: shorter, tokens: encode(shorter), truncated };
  };
  let best: Fitted | null = null;
  let fits = 0;
  let fails = limit.trims ? Math.min(text.length, 4 * limit.tokens) : text.length;
  let tried = cut(fails);
  while (tried.tokens.length <= limit.tokens) {
    if (!tried.truncated) return tried;
    [best, fits] = [tried, fails];
    fails = Math.min(text.length, 2 * fails);
    tried = cut(fails);
  }
  if (!limit.trims) {
    throw new InputError(where, trimmed, `makes a prompt of ${tried.tokens.length} tokens; expected at most ${limit.tokens} (max_position_embeddings), or a limit to shorten it to`);
  }
  while (fails - fits > 1) {
    const middle = (fits + fails) >> 1;
    tried = cut(middle);
    if (tried.tokens.length > limit.tokens) fails = middle;
    else [best, fits] = [tried, middle];
  }
  if (best !== null && (best.record[trimmed] as string).trim() !== '') return best;
  throw new InputError(where, trimmed, `has no room: the prompt without it has ${cut(0).tokens.length} tokens; expected fewer than ${limit.tokens}`);
}

/** The length, or one less where it would split a surrogate pair. */
function wholeCharacters(text: string, length: number): number {
  const code = length > 0 ? text.charCodeAt(length - 1) : 0;
  return code >= 0xd800 && code <= 0xdbff ? length - 1 : length;
}
