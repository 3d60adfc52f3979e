/** Reference of routing, of the products of the experts, and of their combination. */
import { dot, linear, matrixOf, row, softmax, type Matrix } from './tensor.ts';

export interface Routing {
  /** [tokens, topK], most probable first, the lower expert first when equal. */
  readonly ids: number[];
  readonly weights: Float64Array;
}

/** Softmax over all experts, then the topK largest; `renormalise` divides by their sum (`norm_topk_prob`). */
export function routerTopK(logits: Matrix, topK: number, renormalise: boolean): Routing {
  const ids: number[] = [];
  const weights: number[] = [];
  for (let token = 0; token < logits.rows; token++) {
    const probabilities = softmax(row(logits, token));
    const order = Array.from(probabilities, (_, e) => e).sort((a, b) => logits.values[token * logits.columns + b]! - logits.values[token * logits.columns + a]! || a - b);
    const chosen = order.slice(0, topK);
    const total = renormalise ? chosen.reduce((sum, e) => sum + probabilities[e]!, 0) : 1;
    ids.push(...chosen);
    weights.push(...chosen.map((e) => probabilities[e]! / total));
  }
  return { ids, weights: Float64Array.from(weights) };
}

/** What an expert sort leaves behind; (token, choice) pairs are numbered token * topK + choice. */
export interface SortedPairs {
  readonly offsets: ArrayLike<number>;
  readonly tileBase: ArrayLike<number>;
  /** Four numbers a tile: expert, first sorted row, rows, 0. */
  readonly tiles: ArrayLike<number>;
  readonly rowToken: ArrayLike<number>;
  readonly pairRow: ArrayLike<number>;
}

/**
 * What is wrong with an expert sort; nothing when it is right. The order inside an expert is free, so there is no one right
 * answer: every pair has a row of its own among its expert's rows, and tiles of one expert cover its rows exactly, in order.
 */
export function sortProblems(ids: readonly number[], topK: number, experts: number, tileRows: number, sorted: SortedPairs): string[] {
  return [...pairProblems(ids, topK, experts, sorted), ...tileProblems(experts, tileRows, sorted)];
}

function pairProblems(ids: readonly number[], topK: number, experts: number, { offsets, rowToken, pairRow }: SortedPairs): string[] {
  const problems: string[] = [];
  const counts = Array.from({ length: experts }, (_, e) => ids.filter((id) => id === e).length);
  let start = 0;
  counts.forEach((count, e) => {
    if (offsets[e] !== start) problems.push(`expert ${e} starts at row ${offsets[e]}, expected ${start}`);
    start += count;
  });
  if (offsets[experts] !== ids.length) problems.push(`${offsets[experts]} rows in all, expected ${ids.length}`);
  const taken = new Set<number>();
  ids.forEach((expert, pair) => {
    const at = pairRow[pair]!;
    if (taken.has(at)) problems.push(`row ${at} is given twice`);
    taken.add(at);
    if (!(at >= offsets[expert]! && at < offsets[expert + 1]!)) problems.push(`pair ${pair} of expert ${expert} is in row ${at}`);
    if (rowToken[at] !== Math.floor(pair / topK)) problems.push(`row ${at} takes token ${rowToken[at]}, its pair is of ${Math.floor(pair / topK)}`);
  });
  return problems;
}

function tileProblems(experts: number, tileRows: number, { offsets, tileBase, tiles }: SortedPairs): string[] {
  const problems: string[] = [];
  let tile = 0;
  for (let e = 0; e < experts; e++) {
    if (tileBase[e] !== tile) problems.push(`expert ${e} starts at tile ${tileBase[e]}, expected ${tile}`);
    for (let at = offsets[e]!; at < offsets[e + 1]!; at += tileRows, tile++) {
      const expected = [e, at, Math.min(tileRows, offsets[e + 1]! - at)];
      const found = [0, 1, 2].map((i) => tiles[4 * tile + i]!);
      if (expected.some((value, i) => value !== found[i])) problems.push(`tile ${tile} is (${found.join(', ')}), expected (${expected.join(', ')})`);
    }
  }
  if (tileBase[experts] !== tile) problems.push(`${tileBase[experts]} tiles, expected ${tile}`);
  return problems;
}

/** gate and up [I, H], down [H, I]. */
export interface Expert {
  readonly gate: Matrix;
  readonly up: Matrix;
  readonly down: Matrix;
}

export const silu = (x: number): number => x / (1 + Math.exp(-x));

/** silu(gate x) * (up x). */
export const swigluRow = ({ gate, up }: Expert, x: Float64Array): Float64Array =>
  linear(gate, x).map((g, i) => silu(g) * dot(row(up, i), x));

/** Row r: silu(gate x) * (up x) of expert `experts[expertOf[r]]` and token `tokenOf[r]`. */
export function groupedSwiglu(x: Matrix, experts: readonly Expert[], expertOf: readonly number[], tokenOf: readonly number[]): Matrix {
  const rows = expertOf.map((e, r) => swigluRow(experts[e]!, row(x, tokenOf[r]!)));
  return matrixOf(rows.length, rows[0]?.length ?? 0, (r, c) => rows[r]![c]!);
}

/** Row r: down a[r] of expert `experts[expertOf[r]]`. */
export function groupedDown(a: Matrix, experts: readonly Expert[], expertOf: readonly number[]): Matrix {
  const rows = expertOf.map((e, r) => linear(experts[e]!.down, row(a, r)));
  return matrixOf(rows.length, rows[0]?.length ?? 0, (r, c) => rows[r]![c]!);
}

/** x[t] + sum_j weights[t, j] y[pairRow[t, j]]. */
export const combine = (x: Matrix, y: Matrix, pairRow: readonly number[], weights: Float64Array, topK: number): Matrix =>
  matrixOf(x.rows, x.columns, (t, c) => {
    let sum = x.values[t * x.columns + c]!;
    for (let j = 0; j < topK; j++) sum += weights[t * topK + j]! * y.values[pairRow[t * topK + j]! * y.columns + c]!;
    return sum;
  });
