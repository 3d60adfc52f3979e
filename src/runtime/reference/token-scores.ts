/** Reference of the scores of rows of logits. */
import { row, type Matrix } from './tensor.ts';

export interface RowScores {
  readonly normalizer: number;
  readonly nextLogit: number;
  readonly topTokens: readonly number[];
  readonly topLogits: readonly number[];
}

/** log(sum_i exp(x_i)), from the largest down so that nothing overflows; -Infinity where all are. */
export function logSumExp(x: Float64Array): number {
  const highest = x.reduce((a, b) => Math.max(a, b), -Infinity);
  if (highest === -Infinity) return -Infinity;
  return highest + Math.log(x.reduce((sum, v) => sum + Math.exp(v - highest), 0));
}

/** @param next token whose logit is told of each row; null: 0 is told */
export const tokenScores = (logits: Matrix, next: readonly (number | null)[], top: number): RowScores[] =>
  next.map((token, r) => {
    const x = row(logits, r);
    const topTokens = [...x.keys()].toSorted((a, b) => (x[a] === x[b] ? a - b : x[b]! - x[a]!)).slice(0, top);
    return { normalizer: logSumExp(x), nextLogit: token === null ? 0 : x[token]!, topTokens, topLogits: topTokens.map((i) => x[i]!) };
  });
