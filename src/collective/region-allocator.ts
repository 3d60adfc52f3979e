/** Regions of a file that grows on demand: first fit, so that pages in use before are used again. */

/** Regions start at pages. */
export const REGION_ALIGNMENT = 4096;

const roundUp = (bytes: number): number => Math.ceil(bytes / REGION_ALIGNMENT) * REGION_ALIGNMENT;

interface Gap {
  readonly start: number;
  readonly end: number;
}

export class RegionAllocator {
  /** Free ranges below the limit, ascending, never touching each other. */
  #gaps: Gap[];
  readonly #taken = new Map<number, number>();

  /** @param limitBytes of the file, a multiple of {@link REGION_ALIGNMENT} */
  constructor(readonly limitBytes: number) {
    this.#gaps = [{ start: 0, end: limitBytes }];
  }

  /** @returns where the region starts; null while there is no room for it */
  take(bytes: number): number | null {
    const size = roundUp(bytes);
    const index = this.#gaps.findIndex(({ start, end }) => end - start >= size);
    const gap = this.#gaps[index];
    if (gap === undefined) return null;
    this.#gaps.splice(index, 1, ...(gap.end - gap.start > size ? [{ start: gap.start + size, end: gap.end }] : []));
    this.#taken.set(gap.start, size);
    return gap.start;
  }

  /** @returns false when no region that is in use starts there */
  free(start: number): boolean {
    const size = this.#taken.get(start);
    if (size === undefined) return false;
    this.#taken.delete(start);
    const after = this.#gaps.findIndex((gap) => gap.start > start);
    const index = after === -1 ? this.#gaps.length : after;
    const [before, behind] = [this.#gaps[index - 1], this.#gaps[index]];
    const joinsBefore = before?.end === start;
    const joinsBehind = behind?.start === start + size;
    const joined = { start: joinsBefore ? before.start : start, end: joinsBehind ? behind.end : start + size };
    this.#gaps.splice(joinsBefore ? index - 1 : index, Number(joinsBefore) + Number(joinsBehind), joined);
    return true;
  }
}
