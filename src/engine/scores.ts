/**
 * Positions scored over the whole vocabulary: final norm, head and scores in tiles of rows, so that logits of one tile are held at a time and only
 * scores come back to the host. Room is made at the first batch that asks for it.
 */
import type { ModelConfig } from '../model/types.ts';
import type { GpuDevice } from '../runtime/device.ts';
import { NO_TOKEN, scoreWords, tokenScores } from '../runtime/kernels/token-scores.ts';
import { CELL, packedBytes, padTo } from '../runtime/layout.ts';
import { askedRows, type Batch, type Sequence, type TokenScores } from './batch.ts';
import { slice, type LayerContext } from './layer.ts';
import { recordVocabulary, uploadWords } from './pass-parts.ts';
import type { ReadPart } from './readback.ts';
import type { DeviceWeights } from './weights.ts';

/** Most bytes of a tile's logits. */
const TILE_BYTES = 64 << 20;
/** Most rows of a tile: a small vocabulary would make it larger than a dispatch. */
const MAX_TILE_ROWS = 4096;
/** Rows' indices (4 bytes each) of a tile begin at a multiple of 256 bytes. */
const INDEX_ALIGN = 64;
const WORD = 4;

/** What the buffers have room for. */
export interface ScoringCapacity {
  /** Scored positions of a batch. */
  readonly positions: number;
  /** Words of their scores. */
  readonly words: number;
}

const BUFFERS = ['hidden', 'logits', 'rows', 'next', 'scores'] as const;
export type ScoringBuffers = Readonly<Record<(typeof BUFFERS)[number], GPUBuffer>>;

type Shape = Pick<ModelConfig, 'vocabSize' | 'hiddenSize'>;

/** What of a batch decides on its scores. */
type Scored = Pick<Batch, 'top'> & { readonly sequences: readonly Pick<Sequence, 'scored'>[] };

/** There are no more tokens to tell than the vocabulary has. */
const toldAtEach = ({ top = 0 }: Scored, { vocabSize }: Shape): number => Math.min(top, vocabSize);

/** What a batch asks for. */
export function scoringDemand(batch: Scored, shape: Shape): ScoringCapacity {
  const positions = batch.sequences.reduce((sum, { scored = 0 }) => sum + scored, 0);
  return { positions, words: positions * scoreWords(toldAtEach(batch, shape)) };
}

/** Room for either of two. */
export const widerScoring = (a: ScoringCapacity, b: ScoringCapacity): ScoringCapacity =>
  ({ positions: Math.max(a.positions, b.positions), words: Math.max(a.words, b.words) });

/** Rows of a tile, a multiple of 8: logits, and normed rows, are one binding each. */
function tileRows({ vocabSize, hiddenSize }: Shape, maxBindingBytes: number, positions: number): number {
  const rowBytes = Math.max(vocabSize, padTo(hiddenSize, CELL)) * WORD;
  const most = Math.min(MAX_TILE_ROWS, Math.floor(Math.min(TILE_BYTES, maxBindingBytes) / rowBytes));
  return Math.min(padTo(positions, CELL), Math.max(CELL, Math.floor(most / CELL) * CELL));
}

function scoringSizes(shape: Shape, maxBindingBytes: number, { positions, words }: ScoringCapacity): Record<keyof ScoringBuffers, number> {
  const tile = tileRows(shape, maxBindingBytes, positions);
  const indices = Math.ceil(positions / tile) * padTo(tile, INDEX_ALIGN) * WORD;
  return { hidden: packedBytes(tile, shape.hiddenSize, 'f32'), logits: tile * shape.vocabSize * WORD, rows: indices, next: indices, scores: words * WORD };
}

/** Device memory of scoring, bytes; nothing where no position is scored. */
export const scoringBytes = (shape: Shape, maxBindingBytes: number, capacity: ScoringCapacity): number =>
  capacity.positions === 0 ? 0 : Object.values(scoringSizes(shape, maxBindingBytes, capacity)).reduce((sum, bytes) => sum + bytes, 0);

/** Of all scored positions in turn: their rows among the asked ones, and the token that follows. */
function scoredRows(sequences: readonly Sequence[]): { rows: number[]; next: number[] } {
  const [rows, next]: [number[], number[]] = [[], []];
  let firstRow = 0;
  for (const sequence of sequences) {
    const { tokens, scored = 0 } = sequence;
    for (let i = 0; i < scored; i++) {
      rows.push(firstRow + i);
      next.push(tokens[tokens.length - scored + i + 1] ?? NO_TOKEN);
    }
    firstRow += askedRows(sequence);
  }
  return { rows, next };
}

/** The same words with each tile's beginning where a binding may. */
function alignTiles(words: readonly number[], tile: number): Uint32Array {
  const step = padTo(tile, INDEX_ALIGN);
  const aligned = new Uint32Array(Math.ceil(words.length / tile) * step);
  words.forEach((word, i) => { aligned[Math.floor(i / tile) * step + (i % tile)] = word; });
  return aligned;
}

/** Positions [first, first + rows) of those that are scored; their indices begin at word `index`. */
interface Tile {
  readonly first: number;
  readonly rows: number;
  readonly index: number;
  readonly top: number;
}

/** Logits of a tile, and of these its scores. */
export function recordTile(ctx: LayerContext, weights: DeviceWeights, buffers: ScoringBuffers, { first, rows, index, top }: Tile): void {
  const { gpu, recorder, config: { vocabSize } } = ctx;
  const { hidden, logits, scores } = buffers;
  recordVocabulary(ctx, weights, { rows, hidden, logits, gather: slice(buffers.rows, index * WORD, rows * WORD) });
  tokenScores(gpu, recorder, { rows, vocabulary: vocabSize, top, logits, next: slice(buffers.next, index * WORD, rows * WORD), scores, firstRow: first });
}

/** The scores as they came back. */
function readScores(words: ArrayBuffer, positions: number, top: number): TokenScores {
  const width = scoreWords(top);
  const [bits, floats] = [new Uint32Array(words), new Float32Array(words)];
  const scores = {
    top, normalizers: new Float32Array(positions), nextLogits: new Float32Array(positions),
    topTokens: new Uint32Array(positions * top), topLogits: new Float32Array(positions * top),
  };
  for (let p = 0; p < positions; p++) {
    const at = p * width;
    scores.normalizers[p] = floats[at] as number;
    scores.nextLogits[p] = floats[at + 1] as number;
    scores.topTokens.set(bits.subarray(at + 2, at + 2 + top), p * top);
    scores.topLogits.set(floats.subarray(at + 2 + top, at + width), p * top);
  }
  return scores;
}

/** Scores of a batch on their way back. */
interface PendingScores {
  readonly part: ReadPart;
  readonly read: (words: ArrayBuffer) => TokenScores;
}

/** The buffers of scoring, and what is recorded on them. */
export class Scoring {
  #capacity: ScoringCapacity = { positions: 0, words: 0 };
  #buffers: ScoringBuffers | undefined;

  constructor(
    private readonly gpu: GpuDevice,
    private readonly config: ModelConfig,
  ) {}

  /** Makes room for a batch; growing waits for the device, because commands in flight use the old buffers. */
  async reserve(batch: Batch): Promise<void> {
    const old = this.#capacity;
    const grown = widerScoring(old, scoringDemand(batch, this.config));
    if (grown.positions === old.positions && grown.words === old.words) return;
    await this.gpu.idle();
    this.#release();
    const sizes = scoringSizes(this.config, this.gpu.maxBindingBytes, grown);
    const made: Partial<Record<keyof ScoringBuffers, GPUBuffer>> = {};
    this.#buffers = made as ScoringBuffers;
    try {
      for (const name of BUFFERS) made[name] = this.gpu.createBuffer(`scoring/${name}`, sizes[name], GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC);
    } catch (error) {
      this.#release(); // a smaller batch may still find room
      throw error;
    }
    this.#capacity = grown;
  }

  #release(): void {
    for (const buffer of Object.values(this.#buffers ?? {})) this.gpu.destroyBuffer(buffer);
    this.#buffers = undefined;
    this.#capacity = { positions: 0, words: 0 };
  }

  /** Records the scores of a batch that room was made for; null where none are asked for. */
  record(ctx: LayerContext, weights: DeviceWeights, batch: Batch): PendingScores | null {
    const { config: { vocabSize, hiddenSize }, gpu } = this;
    const { positions, words } = scoringDemand(batch, this.config);
    if (positions === 0) return null;
    const buffers = this.#buffers as ScoringBuffers;
    const top = toldAtEach(batch, this.config);
    const tile = tileRows(this.config, gpu.maxBindingBytes, this.#capacity.positions);
    const { rows, next } = scoredRows(batch.sequences);
    uploadWords(gpu, buffers.rows, alignTiles(rows, tile));
    uploadWords(gpu, buffers.next, alignTiles(next, tile));
    ctx.recorder.submit(); // what was recorded so far has another name
    ctx.recorder.begin('scores');
    for (let first = 0, index = 0; first < positions; first += tile, index += padTo(tile, INDEX_ALIGN)) {
      recordTile(ctx, weights, buffers, { first, rows: Math.min(tile, positions - first), index, top });
    }
    ctx.recorder.submit();
    ctx.count(2 * positions * vocabSize * hiddenSize);
    return { part: { from: buffers.scores, bytes: words * WORD }, read: (bytes) => readScores(bytes, positions, top) };
  }
}
