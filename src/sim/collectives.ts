/**
 * Bytes between ranks, by the collectives' own formulas (paper section 4, table 1, sent and received apart). A matrix [from][to] holds what
 * each rank sends to each other; nothing is sent to oneself.
 *
 *     allGather       every rank sends its rows to all others             sent (P-1) own rows, received the others' rows
 *     reduceScatter   every rank sends each other its partial rows        the mirror: sent the others' rows, received (P-1) own rows
 *     dispatch        a row goes to the ranks that have its experts
 *     give back       what was dispatched, as rows, the other way
 */

/** Bytes from each rank to each other. */
export type BytesMatrix = readonly (readonly number[])[];

/** Element types of rows on the wire, bytes of an element. */
export const WIRE_BYTES = { f32: 4, f16: 2, bf16: 2 } as const;
export type Wire = keyof typeof WIRE_BYTES;

/** Once to each rank that has an expert of the token, or once for each expert (the paper's formula). */
export type Dispatch = 'rank' | 'expert';

/** A row of `hidden` elements, in whole words of 4 bytes, with `choices` expert ids and weights of 4 bytes each. */
export const packetBytes = (hidden: number, wire: Wire, choices: number): number =>
  4 * Math.ceil((hidden * WIRE_BYTES[wire]) / 4) + 8 * choices;

const matrix = (ranks: number, bytes: (from: number, to: number) => number): BytesMatrix =>
  Array.from({ length: ranks }, (_, from) => Array.from({ length: ranks }, (__, to) => (from === to ? 0 : bytes(from, to))));

/** @param rows rows of each rank */
export const allGather = (rows: readonly number[], rowBytes: number): BytesMatrix =>
  matrix(rows.length, (from) => (rows[from] as number) * rowBytes);

/** @param rows rows that each rank keeps */
export const reduceScatter = (rows: readonly number[], rowBytes: number): BytesMatrix =>
  matrix(rows.length, (_, to) => (rows[to] as number) * rowBytes);

/**
 * Row counts of a dispatch under uniform routing: how often a token goes to a rank that owns `owned` of `experts`, k of which it chose.
 * Per rank that is once if any of them is there: 1 - C(E - owned, k) / C(E, k); per expert as often as there are: k owned / E.
 */
export function rowsPerToken(dispatch: Dispatch, owned: number, experts: number, topK: number): number {
  if (dispatch === 'expert') return (topK * owned) / experts;
  let none = 1;
  for (let i = 0; i < topK; i++) none *= Math.max(0, experts - owned - i) / (experts - i);
  return 1 - none;
}

/**
 * @param tokens tokens of each rank
 * @param rowsTo rows that one token sends to each rank, on average (exact counts over `tokens`, where they are known)
 */
export const dispatchRows = (tokens: readonly number[], rowsTo: readonly number[], rowBytes: number): BytesMatrix =>
  matrix(tokens.length, (from, to) => (tokens[from] as number) * (rowsTo[to] as number) * rowBytes);

export const transposed = (bytes: BytesMatrix): BytesMatrix => matrix(bytes.length, (from, to) => (bytes[to] as readonly number[])[from] as number);

/** What one rank sends of `bytes`. */
export const sentBy = (bytes: BytesMatrix, rank: number): number => (bytes[rank] as readonly number[]).reduce((sum, part) => sum + part, 0);

/** What one rank receives of `bytes`. */
export const receivedBy = (bytes: BytesMatrix, rank: number): number => bytes.reduce((sum, row) => sum + (row[rank] as number), 0);
