/** Sequences packed without padding, and everything the kernels need to know about where they lie. */
import { InputError } from '../errors.ts';
import type { ModelConfig } from '../model/types.ts';
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';
import { padTo } from '../runtime/layout.ts';
import type { BlockAssignment } from './kv-blocks.ts';

export interface Sequence {
  readonly tokens: Uint32Array;
  /**
   * So many of the last positions are scored over the whole vocabulary, see {@link TokenScores}; none by default. The last one counts: 1 asks for
   * what may follow the sequence, its length for the log-probability of every token but the first, too.
   */
  readonly scored?: number;
}

export interface Batch {
  readonly sequences: readonly Sequence[];
  /** Tokens whose logits at each sequence's last position are asked for; null: the whole vocabulary. */
  readonly candidates: Uint32Array | null;
  /** How many of the most likely tokens are told at each scored position; 0 by default, at most {@link MAX_TOP}. */
  readonly top?: number;
}

/** Most tokens that are told at a scored position: what OpenAI's API allows. */
export const MAX_TOP = 20;

/** What the whole vocabulary says at the scored positions, those of the first sequence first, each sequence's in order. */
export interface TokenScores {
  /** Tokens told at each position: the k of top-k. */
  readonly top: number;
  /** f32 [positions]: log of the sum of exp over all logits; log-probability = logit - normalizer. */
  readonly normalizers: Float32Array;
  /** f32 [positions]: logit of the token that follows the position in its sequence; 0 at the last one, which none follows. */
  readonly nextLogits: Float32Array;
  /** u32 and f32 [positions, top]: the most likely tokens, the likeliest first, the smaller token first among equals. */
  readonly topTokens: Uint32Array;
  readonly topLogits: Float32Array;
}

/** Positions of a sequence that the last layer computes. */
export const askedRows = ({ scored = 0 }: Sequence): number => Math.max(1, scored);

/** Tokens [start, start + tokens) of the packed batch, computed together within a layer. */
export interface Chunk {
  readonly start: number;
  readonly tokens: number;
  readonly firstTile: number;
  readonly tiles: number;
  /** Of all rows that the last layer computes, in order, [firstAsked, firstAsked + asked) are in this chunk: sequences' last tokens, and what is scored. */
  readonly firstAsked: number;
  readonly asked: number;
  /** Where these stand in `lastRows`, `lastPositions` and `lastTiles`: a multiple of {@link LAST_ALIGN}. */
  readonly firstLast: number;
  /** Their attention tiles, from `firstLast` as well. */
  readonly askedTiles: number;
}

export interface PackedBatch {
  /** Tokens to compute; those of cached prefixes are not among them. */
  readonly totalTokens: number;
  readonly sequences: number;
  /** Rows that the last layer computes: the last one of every sequence, and all that are scored. */
  readonly askedRows: number;
  /** Which of these is each sequence's last token. */
  readonly answerRows: Uint32Array;
  readonly tokens: Uint32Array;
  readonly positions: Uint32Array;
  /** block * 16 + offset of every token. */
  readonly kvSlots: Uint32Array;
  /** KV blocks that there must be. */
  readonly blocks: number;
  /** Blocks of cached prefixes, each as often as a sequence has it. */
  readonly cachedBlocks: number;
  /** Block ids of each sequence in turn. */
  readonly blockTable: Uint32Array;
  readonly chunks: readonly Chunk[];
  /** Attention tiles of all chunks, each chunk's from a multiple of {@link TILE_ALIGN}; rows count from the chunk's start. */
  readonly tiles: Uint32Array;
  /**
   * Of the asked rows of each chunk in turn: row from the chunk's start; position; and attention tiles of them, rows counted from the chunk's
   * first asked one. Each chunk's begin at `firstLast`.
   */
  readonly lastRows: Uint32Array;
  readonly lastPositions: Uint32Array;
  readonly lastTiles: Uint32Array;
  /** Sum over tokens of the keys each one sees. */
  readonly attendedKeys: number;
}

/** Tiles (16 bytes each) of a chunk begin at a multiple of 256 bytes: what a storage binding may ask for. */
export const TILE_ALIGN = 16;
const TILE_WORDS = 4;
/** Last tokens (4 bytes each) of a chunk begin at a multiple of 256 bytes as well. */
export const LAST_ALIGN = 64;

/**
 * Refuses what no pass can compute.
 * @throws InputError naming the sequence (by its place in the batch) or the candidate
 */
export function checkBatch(batch: Batch, config: Pick<ModelConfig, 'vocabSize' | 'maxPositionEmbeddings'>): void {
  const { vocabSize, maxPositionEmbeddings } = config;
  batch.sequences.forEach(({ tokens, scored = 0 }, i) => {
    const source = `sequence ${i}`;
    if (tokens.length === 0) throw new InputError(source, 'tokens', 'is empty; expected at least one token');
    if (tokens.length > maxPositionEmbeddings) {
      throw new InputError(source, 'tokens', `${tokens.length} tokens; the model allows at most ${maxPositionEmbeddings}`);
    }
    const bad = tokens.findIndex((token) => token >= vocabSize);
    if (bad >= 0) throw new InputError(source, `tokens[${bad}]`, `${tokens[bad]} is not in the vocabulary; expected 0 to ${vocabSize - 1}`);
    if (!Number.isInteger(scored) || scored < 0 || scored > tokens.length) throw new InputError(source, 'scored', `${scored}; expected 0 to ${tokens.length}, the sequence's length`);
  });
  const { top = 0 } = batch;
  if (!Number.isInteger(top) || top < 0 || top > MAX_TOP) throw new InputError('batch', 'top', `${top}; expected a whole number from 0 to ${MAX_TOP}`);
  const bad = batch.candidates?.findIndex((token) => token >= vocabSize) ?? -1;
  if (bad >= 0) throw new InputError('candidates', `[${bad}]`, `${batch.candidates?.[bad]} is not in the vocabulary; expected 0 to ${vocabSize - 1}`);
}

interface Placed {
  /** First of its computed tokens in the batch. */
  readonly start: number;
  /** Computed tokens. */
  readonly length: number;
  /** Position of the first computed token: tokens before it are cached. */
  readonly position: number;
  /** Its last so many tokens are asked for in the last layer, the first of them as this row of all asked ones. */
  readonly asked: number;
  readonly firstRow: number;
  /** Where its blocks begin in the block table. */
  readonly firstEntry: number;
}

/** Where each sequence lies: tokens one after the other. */
function place(sequences: readonly Sequence[], { firstEntries, cached }: BlockAssignment): Placed[] {
  let [start, firstRow] = [0, 0];
  return sequences.map((sequence, i) => {
    const position = cached?.[i] ?? 0;
    const placed = { start, length: sequence.tokens.length - position, position, asked: askedRows(sequence), firstRow, firstEntry: firstEntries[i] as number };
    if (placed.asked > placed.length) throw new Error(`sequence ${i}: ${placed.asked} positions are asked for, ${placed.length} are computed`);
    start += placed.length;
    firstRow += placed.asked;
    return placed;
  });
}

/** Tokens [start, end) of the batch. */
interface Span {
  readonly start: number;
  readonly end: number;
}

/** Appends the attention tiles of a chunk's queries, at most `rows` rows of one sequence each, and returns how many. */
function tileChunk(placed: readonly Placed[], { start, end }: Span, rows: number, tiles: number[]): number {
  let count = 0;
  let current = firstEndingFrom(placed, start);
  for (let at = start; at < end; count++) {
    const sequence = placed[current] as Placed;
    const sequenceEnd = sequence.start + sequence.length;
    const here = Math.min(rows, sequenceEnd - at, end - at);
    tiles.push(at - start, here, sequence.position + at - sequence.start, sequence.firstEntry);
    at += here;
    if (at === sequenceEnd) current++;
  }
  return count;
}

/** The first sequence whose last token is at `token` or behind it; as many as there are sequences when none is. */
function firstEndingFrom(placed: readonly Placed[], token: number): number {
  let [low, high] = [0, placed.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const { start, length } = placed[middle] as Placed;
    if (start + length > token) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Of the rows that are asked for, those of one sequence in one chunk: tokens [first, first + count) of the batch. */
interface AskedRun {
  readonly sequence: Placed;
  readonly first: number;
  readonly count: number;
}

function askedRuns(placed: readonly Placed[], { start, end }: Span): AskedRun[] {
  const runs: AskedRun[] = [];
  for (let i = firstEndingFrom(placed, start); i < placed.length; i++) {
    const sequence = placed[i] as Placed;
    if (sequence.start >= end) break;
    const firstAsked = sequence.start + sequence.length - sequence.asked;
    const first = Math.max(start, firstAsked);
    const count = Math.min(end, sequence.start + sequence.length) - first;
    if (count > 0) runs.push({ sequence, first, count });
  }
  return runs;
}

type AskedArrays = Pick<PackedBatch, 'lastRows' | 'lastPositions' | 'lastTiles'>;

/** Cuts the packed tokens into chunks, each with its attention tiles and the rows that are asked for in it. */
function cutChunks(placed: readonly Placed[], total: number, chunkTokens: number, rows: number): { chunks: Chunk[]; tiles: Uint32Array } & AskedArrays {
  const chunks: Chunk[] = [];
  const tiles: number[] = [];
  const last = { rows: [] as number[], positions: [] as number[], tiles: [] as number[] };
  let firstAsked = 0;
  for (let start = 0; start < total; start += chunkTokens) {
    const end = Math.min(total, start + chunkTokens);
    const firstTile = padTo(tiles.length / TILE_WORDS, TILE_ALIGN);
    while (tiles.length < firstTile * TILE_WORDS) tiles.push(0);
    const count = tileChunk(placed, { start, end }, rows, tiles);
    const firstLast = padTo(last.rows.length, LAST_ALIGN);
    while (last.rows.length < firstLast) {
      last.rows.push(0);
      last.positions.push(0);
    }
    while (last.tiles.length < firstLast * TILE_WORDS) last.tiles.push(0);
    const runs = askedRuns(placed, { start, end });
    for (const { sequence, first, count: inRun } of runs) {
      const position = sequence.position + first - sequence.start;
      for (let at = 0; at < inRun; at += rows) last.tiles.push(last.rows.length - firstLast + at, Math.min(rows, inRun - at), position + at, sequence.firstEntry);
      for (let n = 0; n < inRun; n++) {
        last.rows.push(first - start + n);
        last.positions.push(position + n);
      }
    }
    const asked = last.rows.length - firstLast;
    chunks.push({ start, tokens: end - start, firstTile, tiles: count, firstAsked, asked, firstLast, askedTiles: last.tiles.length / TILE_WORDS - firstLast });
    firstAsked += asked;
  }
  return {
    chunks, tiles: Uint32Array.from(tiles),
    lastRows: Uint32Array.from(last.rows), lastPositions: Uint32Array.from(last.positions), lastTiles: Uint32Array.from(last.tiles),
  };
}

/**
 * @param assignment blocks of every sequence; tokens of cached prefixes are left out
 * @param chunkTokens most tokens of a chunk, a multiple of 64
 * @param attentionRows most queries of an attention tile
 */
export function packBatch({ sequences }: Batch, assignment: BlockAssignment, chunkTokens: number, attentionRows: number): PackedBatch {
  const { table, blocks } = assignment;
  const placed = place(sequences, assignment);
  const totalTokens = placed.reduce((sum, { length }) => sum + length, 0);
  const tokens = new Uint32Array(totalTokens);
  const positions = new Uint32Array(totalTokens);
  const kvSlots = new Uint32Array(totalTokens);
  let attendedKeys = 0;
  sequences.forEach((sequence, i) => {
    const { start, length, position, firstEntry } = placed[i] as Placed;
    tokens.set(sequence.tokens.subarray(position), start);
    for (let n = 0; n < length; n++) {
      const at = position + n;
      positions[start + n] = at;
      kvSlots[start + n] = (table[firstEntry + Math.floor(at / BLOCK_TOKENS)] as number) * BLOCK_TOKENS + (at % BLOCK_TOKENS);
      attendedKeys += at + 1;
    }
  });
  return {
    totalTokens, sequences: sequences.length, tokens, positions, kvSlots, blocks, blockTable: table, attendedKeys,
    cachedBlocks: placed.reduce((sum, { position }) => sum + position, 0) / BLOCK_TOKENS,
    askedRows: placed.reduce((sum, { asked }) => sum + asked, 0), answerRows: Uint32Array.from(placed, ({ firstRow, asked }) => firstRow + asked - 1),
    ...cutChunks(placed, totalTokens, chunkTokens, attentionRows),
  };
}
