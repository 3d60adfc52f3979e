/** Sequences packed without padding, and everything the kernels need to know about where they lie. */
import { InputError } from '../errors.ts';
import type { ModelConfig } from '../model/types.ts';
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';
import { padTo } from '../runtime/layout.ts';
import { assignBlocks, type KvMode } from './kv-blocks.ts';

export interface Sequence {
  readonly tokens: Uint32Array;
}

export interface Batch {
  readonly sequences: readonly Sequence[];
  /** Tokens whose logits are asked for; null: the whole vocabulary. */
  readonly candidates: Uint32Array | null;
}

/** Tokens [start, start + tokens) of the packed batch, computed together within a layer. */
export interface Chunk {
  readonly start: number;
  readonly tokens: number;
  readonly firstTile: number;
  readonly tiles: number;
  /** The sequences [firstEnding, firstEnding + ending) have their last token in this chunk. */
  readonly firstEnding: number;
  readonly ending: number;
  /** Where these stand in `lastRows`, `lastPositions` and `lastTiles`: a multiple of {@link LAST_ALIGN}. */
  readonly firstLast: number;
}

export interface PackedBatch {
  readonly totalTokens: number;
  readonly sequences: number;
  readonly tokens: Uint32Array;
  readonly positions: Uint32Array;
  /** block * 16 + offset of every token. */
  readonly kvSlots: Uint32Array;
  /** KV blocks that there must be. */
  readonly blocks: number;
  /** Block ids of each sequence in turn. */
  readonly blockTable: Uint32Array;
  readonly chunks: readonly Chunk[];
  /** Attention tiles of all chunks, each chunk's from a multiple of {@link TILE_ALIGN}; rows count from the chunk's start. */
  readonly tiles: Uint32Array;
  /**
   * Of the sequences that end in each chunk in turn: row of the last token, from the chunk's start; its position; its attention tile
   * of one row, rows counted from the chunk's first ending sequence. Each chunk's begin at `firstLast`.
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
export function checkBatch(batch: Batch, config: ModelConfig): void {
  const { vocabSize, maxPositionEmbeddings } = config;
  batch.sequences.forEach(({ tokens }, i) => {
    const source = `sequence ${i}`;
    if (tokens.length === 0) throw new InputError(source, 'tokens', 'is empty; expected at least one token');
    if (tokens.length > maxPositionEmbeddings) {
      throw new InputError(source, 'tokens', `${tokens.length} tokens; the model allows at most ${maxPositionEmbeddings}`);
    }
    const bad = tokens.findIndex((token) => token >= vocabSize);
    if (bad >= 0) throw new InputError(source, `tokens[${bad}]`, `${tokens[bad]} is not in the vocabulary; expected 0 to ${vocabSize - 1}`);
  });
  const bad = batch.candidates?.findIndex((token) => token >= vocabSize) ?? -1;
  if (bad >= 0) throw new InputError('candidates', `[${bad}]`, `${batch.candidates?.[bad]} is not in the vocabulary; expected 0 to ${vocabSize - 1}`);
}

interface Placed {
  readonly start: number;
  readonly length: number;
  /** Where its blocks begin in the block table. */
  readonly firstEntry: number;
}

/** Where each sequence lies: tokens one after the other. */
function place(lengths: readonly number[], firstEntries: readonly number[]): Placed[] {
  let start = 0;
  return lengths.map((length, i) => {
    const placed = { start, length, firstEntry: firstEntries[i] as number };
    start += length;
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
    tiles.push(at - start, here, at - sequence.start, sequence.firstEntry);
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

/** Cuts the packed tokens into chunks, each with its attention tiles and the sequences that end in it. */
function cutChunks(placed: readonly Placed[], total: number, chunkTokens: number, rows: number): { chunks: Chunk[]; tiles: number[] } {
  const chunks: Chunk[] = [];
  const tiles: number[] = [];
  let firstLast = 0;
  for (let start = 0; start < total; start += chunkTokens) {
    const end = Math.min(total, start + chunkTokens);
    const firstTile = padTo(tiles.length / TILE_WORDS, TILE_ALIGN);
    while (tiles.length < firstTile * TILE_WORDS) tiles.push(0);
    const count = tileChunk(placed, { start, end }, rows, tiles);
    const firstEnding = firstEndingFrom(placed, start);
    const ending = firstEndingFrom(placed, end) - firstEnding;
    chunks.push({ start, tokens: end - start, firstTile, tiles: count, firstEnding, ending, firstLast });
    firstLast += padTo(ending, LAST_ALIGN);
  }
  return { chunks, tiles };
}

/** The arrays of last tokens, laid out as {@link PackedBatch} says. */
function lastTokens(placed: readonly Placed[], chunks: readonly Chunk[]): Pick<PackedBatch, 'lastRows' | 'lastPositions' | 'lastTiles'> {
  const count = chunks.reduce((most, { firstLast, ending }) => Math.max(most, firstLast + ending), 0);
  const last = { lastRows: new Uint32Array(count), lastPositions: new Uint32Array(count), lastTiles: new Uint32Array(count * TILE_WORDS) };
  for (const { start: chunkStart, firstEnding, ending, firstLast } of chunks) {
    for (let i = 0; i < ending; i++) {
      const { start, length, firstEntry } = placed[firstEnding + i] as Placed;
      last.lastRows[firstLast + i] = start + length - 1 - chunkStart;
      last.lastPositions[firstLast + i] = length - 1;
      last.lastTiles.set([i, 1, length - 1, firstEntry], (firstLast + i) * TILE_WORDS);
    }
  }
  return last;
}

/**
 * @param chunkTokens most tokens of a chunk, a multiple of 64
 * @param attentionRows most queries of an attention tile
 */
export function packBatch(batch: Batch, chunkTokens: number, attentionRows: number, kv: KvMode = 'layer'): PackedBatch {
  const lengths = batch.sequences.map((sequence) => sequence.tokens.length);
  const { table, firstEntries, blocks } = assignBlocks(lengths, chunkTokens, kv);
  const placed = place(lengths, firstEntries);
  const totalTokens = lengths.reduce((sum, length) => sum + length, 0);
  const tokens = new Uint32Array(totalTokens);
  const positions = new Uint32Array(totalTokens);
  const kvSlots = new Uint32Array(totalTokens);
  batch.sequences.forEach((sequence, i) => {
    const { start, length, firstEntry } = placed[i] as Placed;
    tokens.set(sequence.tokens, start);
    for (let n = 0; n < length; n++) {
      positions[start + n] = n;
      kvSlots[start + n] = (table[firstEntry + Math.floor(n / BLOCK_TOKENS)] as number) * BLOCK_TOKENS + (n % BLOCK_TOKENS);
    }
  });
  const { chunks, tiles } = cutChunks(placed, totalTokens, chunkTokens, attentionRows);
  return {
    totalTokens, sequences: lengths.length, tokens, positions, kvSlots, blocks, blockTable: table,
    chunks, tiles: Uint32Array.from(tiles), ...lastTokens(placed, chunks),
    attendedKeys: lengths.reduce((sum, length) => sum + (length * (length + 1)) / 2, 0),
  };
}
