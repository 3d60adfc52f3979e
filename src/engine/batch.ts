/** Sequences packed without padding, and everything the kernels need to know about where they lie. */
import { InputError } from '../errors.ts';
import type { ModelConfig } from '../model/types.ts';
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';

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
}

export interface PackedBatch {
  readonly totalTokens: number;
  readonly tokens: Uint32Array;
  readonly positions: Uint32Array;
  /** block * 16 + offset of every token. */
  readonly kvSlots: Uint32Array;
  readonly blocks: number;
  /** Block ids of each sequence in turn. */
  readonly blockTable: Uint32Array;
  readonly chunks: readonly Chunk[];
  /** Attention tiles of all chunks, each chunk's from a multiple of {@link TILE_ALIGN}; rows count from the chunk's start. */
  readonly tiles: Uint32Array;
  /** Packed index and position of each sequence's last token, and its attention tile of one row. */
  readonly lastRows: Uint32Array;
  readonly lastPositions: Uint32Array;
  readonly lastTiles: Uint32Array;
  /** Sum over tokens of the keys each one sees. */
  readonly attendedKeys: number;
}

/** Tiles (16 bytes each) of a chunk begin at a multiple of 256 bytes: what a storage binding may ask for. */
export const TILE_ALIGN = 16;
const TILE_WORDS = 4;

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
  readonly firstBlock: number;
}

/** Where each sequence lies: tokens one after the other, blocks of its own. */
function place(sequences: readonly Sequence[]): Placed[] {
  let start = 0;
  let firstBlock = 0;
  return sequences.map(({ tokens: { length } }) => {
    const placed = { start, length, firstBlock };
    start += length;
    firstBlock += Math.ceil(length / BLOCK_TOKENS);
    return placed;
  });
}

/** Cuts the packed tokens into chunks and each chunk's queries into attention tiles of at most `rows` rows of one sequence. */
function tile(placed: readonly Placed[], total: number, chunkTokens: number, rows: number): { chunks: Chunk[]; tiles: number[] } {
  const chunks: Chunk[] = [];
  const tiles: number[] = [];
  let current = 0;
  for (let start = 0; start < total; start += chunkTokens) {
    const end = Math.min(total, start + chunkTokens);
    const firstTile = Math.ceil(tiles.length / TILE_WORDS / TILE_ALIGN) * TILE_ALIGN;
    while (tiles.length < firstTile * TILE_WORDS) tiles.push(0);
    for (let at = start; at < end; ) {
      let sequence = placed[current] as Placed;
      while (at >= sequence.start + sequence.length) sequence = placed[++current] as Placed;
      const count = Math.min(rows, sequence.start + sequence.length - at, end - at);
      tiles.push(at - start, count, at - sequence.start, sequence.firstBlock);
      at += count;
    }
    chunks.push({ start, tokens: end - start, firstTile, tiles: tiles.length / TILE_WORDS - firstTile });
  }
  return { chunks, tiles };
}

/**
 * @param chunkTokens most tokens of a chunk, a multiple of 64
 * @param attentionRows most queries of an attention tile
 */
export function packBatch(batch: Batch, chunkTokens: number, attentionRows: number): PackedBatch {
  const placed = place(batch.sequences);
  const last = placed.at(-1);
  const totalTokens = last ? last.start + last.length : 0;
  const blocks = last ? last.firstBlock + Math.ceil(last.length / BLOCK_TOKENS) : 0;
  const tokens = new Uint32Array(totalTokens);
  const positions = new Uint32Array(totalTokens);
  const kvSlots = new Uint32Array(totalTokens);
  batch.sequences.forEach((sequence, i) => {
    const { start, length, firstBlock } = placed[i] as Placed;
    tokens.set(sequence.tokens, start);
    for (let n = 0; n < length; n++) {
      positions[start + n] = n;
      kvSlots[start + n] = firstBlock * BLOCK_TOKENS + n;
    }
  });
  const { chunks, tiles } = tile(placed, totalTokens, chunkTokens, attentionRows);
  return {
    totalTokens, tokens, positions, kvSlots, blocks,
    blockTable: Uint32Array.from({ length: blocks }, (_, i) => i),
    chunks, tiles: Uint32Array.from(tiles),
    lastRows: Uint32Array.from(placed, ({ start, length }) => start + length - 1),
    lastPositions: Uint32Array.from(placed, ({ length }) => length - 1),
    lastTiles: Uint32Array.from(placed.flatMap(({ length, firstBlock }, i) => [i, 1, length - 1, firstBlock])),
    attendedKeys: placed.reduce((sum, { length }) => sum + (length * (length + 1)) / 2, 0),
  };
}
