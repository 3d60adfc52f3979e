/**
 * Engines in the order of two numbers, and of their own among equals: who is first costs nothing to ask, and an engine whose numbers change costs the
 * logarithm of how many there are. A tournament: each inner node of a binary tree has the better of the two below it.
 */
import type { EngineSet } from './engine-set.ts';

const NOBODY = -1;

export class EngineOrder {
  readonly #first: Float64Array;
  readonly #second: Float64Array;
  /** By node, the root is 1 and below `n` are `2 n` and `2 n + 1`; the leaf of engine i is `#leaves + i`. */
  readonly #winners: Int32Array;
  readonly #leaves: number;

  /** @param engines numbered from 0; none has a place yet */
  constructor(engines: number) {
    this.#leaves = 2 ** Math.ceil(Math.log2(engines));
    this.#first = new Float64Array(engines);
    this.#second = new Float64Array(engines);
    this.#winners = new Int32Array(2 * this.#leaves).fill(NOBODY);
  }

  /** Gives an engine its place. */
  set(engine: number, first: number, second = 0): void {
    const leaf = this.#leaves + engine;
    if (this.#winners[leaf] === engine && this.#first[engine] === first && this.#second[engine] === second) return;
    this.#first[engine] = first;
    this.#second[engine] = second;
    this.#winners[leaf] = engine;
    this.#update(leaf, engine);
  }

  /** Takes an engine out. */
  delete(engine: number): void {
    const leaf = this.#leaves + engine;
    if (this.#winners[leaf] === NOBODY) return;
    this.#winners[leaf] = NOBODY;
    this.#update(leaf, engine);
  }

  /** Who is first, or -1. */
  get best(): number {
    return this.#winners[1] as number;
  }

  /** The first of two numbers of an engine that has a place. */
  firstOf(engine: number): number {
    return this.#first[engine] as number;
  }

  /** Whether one of two engines, which both have a place, is before the other. */
  isBefore(one: number, other: number): boolean {
    return one !== other && (one < other ? this.#better(one, other) : this.#better(other, one)) === one;
  }

  /** Who of some engines is first, or -1. Those without a place are nobody. */
  bestIn(members: EngineSet): number {
    return this.#bestIn(members.words, 1, 0, this.#leaves);
  }

  /** Puts in those whose first number is accepted, which for any number must be so for all that are smaller. */
  collect(accepted: (first: number) => boolean, into: EngineSet): void {
    this.#collect(1, accepted, into);
  }

  #bestIn(words: Int32Array, node: number, from: number, width: number): number {
    const winner = this.#winners[node] as number;
    if (winner === NOBODY || (((words[winner >>> 5] as number) >>> winner) & 1) !== 0) return winner;
    // Below a word, the part of it that the node stands for; above, the nodes of its words will tell.
    if (width < 32 ? (((words[from >>> 5] as number) >>> from) & ((1 << width) - 1)) === 0 : width === 32 && words[from >>> 5] === 0) return NOBODY;
    const half = width >>> 1;
    if (half === 0) return NOBODY;
    return this.#better(this.#bestIn(words, 2 * node, from, half), this.#bestIn(words, 2 * node + 1, from + half, half));
  }

  #collect(node: number, accepted: (first: number) => boolean, into: EngineSet): void {
    const winner = this.#winners[node] as number;
    if (winner === NOBODY || !accepted(this.#first[winner] as number)) return;
    if (node >= this.#leaves) into.set(winner, true);
    else for (const below of [2 * node, 2 * node + 1]) this.#collect(below, accepted, into);
  }

  /** Plays the games of an engine again, until one that neither was nor is its own. */
  #update(leaf: number, engine: number): void {
    const winners = this.#winners;
    for (let node = leaf >>> 1; node > 0; node >>>= 1) {
      const before = winners[node] as number;
      const winner = this.#better(winners[2 * node] as number, winners[2 * node + 1] as number);
      winners[node] = winner;
      if (winner === before && winner !== engine) return;
    }
  }

  /** @param a the one with the lower number */
  #better(a: number, b: number): number {
    if (a === NOBODY) return b;
    if (b === NOBODY) return a;
    const [firstOfA, firstOfB] = [this.#first[a] as number, this.#first[b] as number];
    if (firstOfA !== firstOfB) return firstOfA < firstOfB ? a : b;
    return (this.#second[a] as number) <= (this.#second[b] as number) ? a : b;
  }
}
