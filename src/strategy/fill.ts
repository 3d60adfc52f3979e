/** The filling of one slot: what was read, what has arrived in staging, what was handed to the queue. */
import type { ShardReader } from '../collective/transport.ts';
import type { Piece } from './banks.ts';
import type { Staging } from './staging.ts';
import { BusyClock } from './stats.ts';

/** A piece that is read into staging memory. */
export interface ReadPiece extends Piece {
  readonly reader: ShardReader;
  /** From this rank's own segment: offload. */
  readonly own: boolean;
}

export interface StagedPiece {
  readonly piece: ReadPiece;
  readonly staging: Staging;
}

export class Fill {
  readonly clock = new BusyClock();
  /** Resolves when every copy to the slot was submitted. */
  readonly completed: Promise<void>;
  ownCopied = false;
  #complete!: () => void;
  #begun = 0;
  #staged = 0;
  #submitted = 0;
  #arrived: StagedPiece[] = [];
  readonly #reading = new Set<ReadPiece>();

  constructor(
    readonly position: number,
    readonly layer: number,
    /** The pass whose layer it is, counted from 0. */
    readonly pass: number,
    private readonly pieces: readonly ReadPiece[],
  ) {
    this.completed = new Promise((resolve) => (this.#complete = resolve));
  }

  get unread(): number {
    return this.pieces.length - this.#begun;
  }

  get allStaged(): boolean {
    return this.#staged === this.pieces.length;
  }

  get complete(): boolean {
    return this.ownCopied && this.#submitted === this.pieces.length;
  }

  /** The next piece to read; there must be one. */
  nextPiece(): ReadPiece {
    const piece = this.pieces[this.#begun++] as ReadPiece;
    this.#reading.add(piece);
    return piece;
  }

  stage(piece: ReadPiece, staging: Staging): void {
    this.#reading.delete(piece);
    this.#staged++;
    this.#arrived.push({ piece, staging });
  }

  /** Pieces that have arrived and were not taken before. */
  takeStaged(): StagedPiece[] {
    const arrived = this.#arrived;
    this.#arrived = [];
    return arrived;
  }

  /** The own part and so many pieces are on their way to the slot. */
  submitted(pieces: number): void {
    this.ownCopied = true;
    this.#submitted += pieces;
    if (this.complete) this.#complete();
  }

  /** Half a sentence for the error of a gather that stands still. */
  missing(): string {
    const left = this.pieces.length - this.#staged;
    if (left === 0) return `the experts of layer ${this.layer} were read, but could not be copied to their slot`;
    const what = `experts of layer ${this.layer} did not arrive: ${left} of ${this.pieces.length} pieces are missing`;
    const [first] = this.#reading;
    if (first === undefined) return `${what}; the device gave no staging buffer back`;
    return `${what}, among them experts ${first.first} to ${first.first + first.count - 1} of rank ${first.reader.rank}`;
  }
}
