/** Steps that wait for nothing but their channels, the one that can begin soonest on top: by when it can, then by since when it is ready, then by number. */
import { CELLS, larger, NUMBER, READY, type StepTable } from './step-table.ts';

/** A binary heap of slots of a table. */
export class StepHeap {
  #slots = new Int32Array(64);
  /** By when each can begin: beside the slots, because most comparisons need no more. */
  #fromMs = new Float64Array(64);
  #size = 0;

  constructor(private readonly table: StepTable) {}

  /** -1 when empty. */
  get top(): number {
    return this.#size === 0 ? -1 : (this.#slots[0] as number);
  }

  /** Of the one on top. */
  get topMs(): number {
    return this.#fromMs[0] as number;
  }

  /** Whether a step goes before another that can begin at the same time. */
  #first(a: number, b: number): boolean {
    const { cells } = this.table;
    const ready = (cells[a * CELLS + READY] as number) - (cells[b * CELLS + READY] as number);
    return ready === 0 ? (cells[a * CELLS + NUMBER] as number) < (cells[b * CELLS + NUMBER] as number) : ready < 0;
  }

  push(slot: number, fromMs: number): void {
    if (this.#size === this.#slots.length) [this.#slots, this.#fromMs] = [larger(this.#slots), larger(this.#fromMs)];
    const [slots, times] = [this.#slots, this.#fromMs];
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const parentMs = times[parent] as number;
      if (fromMs > parentMs || (fromMs === parentMs && !this.#first(slot, slots[parent] as number))) break;
      slots[at] = slots[parent] as number;
      times[at] = parentMs;
      at = parent;
    }
    slots[at] = slot;
    times[at] = fromMs;
  }

  pop(): void {
    const last = --this.#size;
    if (last > 0) this.#sink(this.#slots[last] as number, this.#fromMs[last] as number);
  }

  /** The one on top can begin only then. */
  delayTop(fromMs: number): void {
    this.#sink(this.#slots[0] as number, fromMs);
  }

  /** Puts a step into the place on top, and from there where it belongs. */
  #sink(slot: number, fromMs: number): void {
    const [slots, times, size] = [this.#slots, this.#fromMs, this.#size];
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      let childMs = times[child] as number;
      if (child + 1 < size) {
        const otherMs = times[child + 1] as number;
        if (otherMs < childMs || (otherMs === childMs && this.#first(slots[child + 1] as number, slots[child] as number))) {
          child++;
          childMs = otherMs;
        }
      }
      if (childMs > fromMs || (childMs === fromMs && !this.#first(slots[child] as number, slot))) break;
      slots[at] = slots[child] as number;
      times[at] = childMs;
      at = child;
    }
    slots[at] = slot;
    times[at] = fromMs;
  }
}
