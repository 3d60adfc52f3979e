/** Log-probabilities in the shape of OpenAI's legacy completions. */
import * as z from 'zod';
import type { TokenScores } from '../../engine/index.ts';
import { idText, type TokenText } from './token-texts.ts';

export const logprobsSchema = z.object({
  tokens: z.array(z.string()),
  token_logprobs: z.array(z.number().nullable()).describe('Natural logarithm of each token\'s probability given all before it; null for the first of a prompt.'),
  top_logprobs: z.array(z.record(z.string(), z.number()).nullable()).describe(
    'The likeliest tokens at each position and the token that is there, with their log-probabilities. Of tokens with the same text, the one that is there '
    + '(else the likeliest) has the text as its key, the others are named token_id:ID.'),
  text_offset: z.array(z.int()).describe('Where each token begins in the text, in characters, counted over the texts of the tokens before it.'),
});
export type CompletionLogprobs = z.infer<typeof logprobsSchema>;

/** A token with what the model said at the position before it; null where nothing is before it. */
export interface ScoredToken {
  readonly token: number;
  readonly logprob: number | null;
  /** Likeliest first. */
  readonly top: readonly (readonly [token: number, logprob: number])[];
}

/** JSON has no -Infinity; what OpenAI and vLLM write. */
const LEAST = -9999;

/** The likeliest tokens at scored position `position`. */
export function topAt({ top, normalizers, topTokens, topLogits }: TokenScores, position: number, count: number): [number, number][] {
  const normalizer = normalizers[position]!;
  return Array.from({ length: Math.min(count, top) }, (_, k) => {
    const at = position * top + k;
    return [topTokens[at]!, Math.max(topLogits[at]! - normalizer, LEAST)];
  });
}

/** The prompt's tokens, where all positions were scored: token i was foretold at position i - 1. */
export function scoredPrompt(tokens: Uint32Array, scores: TokenScores, count: number): ScoredToken[] {
  return Array.from(tokens, (token, i) => {
    if (i === 0) return { token, logprob: null, top: [] };
    const logprob = Math.max(scores.nextLogits[i - 1]! - scores.normalizers[i - 1]!, LEAST);
    return { token, logprob, top: topAt(scores, i - 1, count) };
  });
}

/** @param text how a token is written */
export function completionLogprobs(scored: readonly ScoredToken[], text: (token: number) => TokenText): CompletionLogprobs {
  let offset = 0;
  const offsets = scored.map(({ token }) => {
    const at = offset;
    offset += text(token).characters;
    return at;
  });
  return {
    tokens: scored.map(({ token }) => text(token).text),
    token_logprobs: scored.map(({ logprob }) => logprob),
    top_logprobs: scored.map((one) => (one.logprob === null ? null : topByText(one, one.logprob, text))),
    text_offset: offsets,
  };
}

/**
 * A token that is there and not among the likeliest comes in addition, so that `top_logprobs[i][tokens[i]]` is always its own. Its value is the same
 * number as in `token_logprobs`: clients compare the two to learn whether it was the likeliest.
 */
function topByText({ token, top }: ScoredToken, logprob: number, text: (token: number) => TokenText): Record<string, number> {
  const own = text(token).text;
  const byText = new Map<string, number>();
  for (const [other, value] of top) {
    const name = text(other).text;
    if (other === token) byText.set(own, logprob);
    else byText.set(name === own || byText.has(name) ? idText(other) : name, value);
  }
  if (!byText.has(own)) byText.set(own, logprob);
  // An object literal would lose the key "__proto__".
  return Object.fromEntries(byText);
}
