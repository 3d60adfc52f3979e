/** Reference of the kernels that work row by row. */
import { dot, matrixOf, row, type Matrix } from './tensor.ts';

/** out[i] = m[rows[i]]. Embedding lookup is the same: rows of the table by token. */
export const gatherRows = (m: Matrix, rows: readonly number[]): Matrix =>
  matrixOf(rows.length, m.columns, (i, c) => m.values[rows[i]! * m.columns + c]!);

/** x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019; eps inside the root as in transformers). */
export function rmsNormRow(x: Float64Array, weight: Float64Array, eps: number): Float64Array {
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((v, i) => v * scale * weight[i]!);
}

export function rmsNorm(x: Matrix, weight: Float64Array, eps: number): Matrix {
  const normalised = Array.from({ length: x.rows }, (_, r) => rmsNormRow(row(x, r), weight, eps));
  return matrixOf(x.rows, x.columns, (r, c) => normalised[r]![c]!);
}

/** logits[s, c] = h[s] . head[candidates[c]]. */
export const candidateHead = (h: Matrix, head: Matrix, candidates: readonly number[]): Matrix =>
  matrixOf(h.rows, candidates.length, (s, c) => dot(row(h, s), row(head, candidates[c]!)));
