/** Sets of engines by number, for blocks that many engines have: bit words one set after the other in one array. */
export class SetStore {
  #words = new Int32Array(0);
  /** Members of each set. */
  #sizes = new Int32Array(0);
  readonly #free: number[] = [];
  readonly #wordsOfSet: number;

  /** @param engines numbered from 0 */
  constructor(engines: number) {
    this.#wordsOfSet = Math.ceil(engines / 32);
  }

  /** Sets that are in use. */
  get size(): number {
    return this.#sizes.length - this.#free.length;
  }

  /** The number of a new set. */
  make(members: readonly number[]): number {
    if (this.#free.length === 0) this.#grow();
    const set = this.#free.pop() as number;
    for (const engine of members) this.add(set, engine);
    return set;
  }

  has(set: number, engine: number): boolean {
    return (this.word(set, engine >>> 5) & (1 << engine)) !== 0;
  }

  /** Members of which the upper bits are `index`, as bits. */
  word(set: number, index: number): number {
    return this.#words[set * this.#wordsOfSet + index] as number;
  }

  /** Puts in an engine that is not there. */
  add(set: number, engine: number): void {
    (this.#words[set * this.#wordsOfSet + (engine >>> 5)] as number) |= 1 << engine;
    (this.#sizes[set] as number)++;
  }

  /** Takes out an engine that is there. @returns how many are left */
  remove(set: number, engine: number): number {
    (this.#words[set * this.#wordsOfSet + (engine >>> 5)] as number) &= ~(1 << engine);
    return --(this.#sizes[set] as number);
  }

  /** Takes all out, in order, and gives the number back. */
  drop(set: number): number[] {
    const members: number[] = [];
    for (let index = 0; index < this.#wordsOfSet; index++) {
      for (let word = this.word(set, index); word !== 0; word &= word - 1) members.push(index * 32 + 31 - Math.clz32(word & -word));
      this.#words[set * this.#wordsOfSet + index] = 0;
    }
    this.#sizes[set] = 0;
    this.#free.push(set);
    return members;
  }

  #grow(): void {
    const [words, sizes] = [this.#words, this.#sizes];
    const sets = Math.max(16, 2 * sizes.length);
    this.#words = new Int32Array(sets * this.#wordsOfSet);
    this.#words.set(words);
    this.#sizes = new Int32Array(sets);
    this.#sizes.set(sizes);
    for (let set = sets - 1; set >= sizes.length; set--) this.#free.push(set);
  }
}
