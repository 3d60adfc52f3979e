/** Row-major matrices of doubles: what the reference implementations compute on. */

export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

/** The matrix whose element (r, c) is `at(r, c)`. */
export function matrixOf(rows: number, columns: number, at: (r: number, c: number) => number): Matrix {
  const values = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) values[r * columns + c] = at(r, c);
  return { rows, columns, values };
}

export const row = ({ columns, values }: Matrix, r: number): Float64Array => values.subarray(r * columns, (r + 1) * columns);

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** W x for a weight matrix [out, in], as Hugging Face stores linear layers. */
export const linear = (weight: Matrix, x: Float64Array): Float64Array =>
  Float64Array.from({ length: weight.rows }, (_, n) => dot(row(weight, n), x));

/** exp(x_i) / sum_j exp(x_j), from the largest down so that nothing overflows. */
export function softmax(x: Float64Array): Float64Array {
  const highest = x.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = x.map((v) => Math.exp(v - highest));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((v) => v / total);
}
