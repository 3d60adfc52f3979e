/** Engines as bits: 32 of them in a word. */
export class EngineSet {
  /** Bit `engine % 32` of word `engine / 32`. */
  readonly words: Int32Array;

  /** @param engines numbered from 0 */
  constructor(engines: number) {
    this.words = new Int32Array(Math.ceil(engines / 32));
  }

  has(engine: number): boolean {
    return ((this.words[engine >>> 5] as number) & (1 << engine)) !== 0;
  }

  /** Puts an engine in, or takes it out. */
  set(engine: number, member: boolean): void {
    const word = this.words[engine >>> 5] as number;
    this.words[engine >>> 5] = member ? word | (1 << engine) : word & ~(1 << engine);
  }

  clear(): void {
    this.words.fill(0);
  }

  get empty(): boolean {
    return this.next(0) < 0;
  }

  /** The first member that is not below `from`, or -1: to go through them while they change. */
  next(from: number): number {
    const { words } = this;
    let at = from >>> 5;
    if (at >= words.length) return -1;
    let word = (words[at] as number) & (-1 << from);
    while (word === 0 && ++at < words.length) word = words[at] as number;
    return word === 0 ? -1 : at * 32 + 31 - Math.clz32(word & -word);
  }

  /** All, in order. */
  members(): number[] {
    const all: number[] = [];
    for (let engine = this.next(0); engine >= 0; engine = this.next(engine + 1)) all.push(engine);
    return all;
  }
}
