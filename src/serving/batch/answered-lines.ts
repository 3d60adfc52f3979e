/** Which lines of the input the output answers already: four bytes a line, however long the answers are. */
import { crc32 } from 'node:zlib';

/** 32 bits that tell one custom_id from another; never 0, and null has a digest of its own. */
const digestOf = (customId: string | null): number => (customId === null ? 1 : crc32(customId) || 2);

export class AnsweredLines {
  /** By line number: the digest of its custom_id; 0: not answered. */
  #digests = new Uint32Array(1024);
  #count = 0;
  #last = 0;

  /** @returns whether the line had no answer yet */
  add(line: number, customId: string | null): boolean {
    while (line >= this.#digests.length) {
      const larger = new Uint32Array(this.#digests.length * 2);
      larger.set(this.#digests);
      this.#digests = larger;
    }
    if (this.has(line)) return false;
    this.#digests[line] = digestOf(customId);
    this.#count++;
    this.#last = Math.max(this.#last, line);
    return true;
  }

  has(line: number): boolean {
    return (this.#digests[line] ?? 0) !== 0;
  }

  /** Whether the answered line had this custom_id; wrong once in four thousand million for another one. */
  matches(line: number, customId: string | null): boolean {
    return this.#digests[line] === digestOf(customId);
  }

  get count(): number {
    return this.#count;
  }

  /** The highest answered line, 0 when there is none. */
  get last(): number {
    return this.#last;
  }
}
