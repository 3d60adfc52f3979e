/** Reference of the dense matrix product. */
import { dot, matrixOf, row, type Matrix } from './tensor.ts';

/** out[m, n] = sum_k a[m, k] b[n, k] (+ bias[n]) (+ before[m, n]). */
export const matmul = (a: Matrix, b: Matrix, { bias, before }: { bias?: Float64Array; before?: Matrix } = {}): Matrix =>
  matrixOf(a.rows, b.rows, (m, n) => dot(row(a, m), row(b, n)) + (bias?.[n] ?? 0) + (before?.values[m * b.rows + n] ?? 0));
