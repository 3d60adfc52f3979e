/** Steps that wait for nothing but their channels, the one that can begin soonest on top: by when it can, then by since when it is ready, then by number. */
import { CELLS, FROM, NUMBER, READY, type StepTable } from './step-table.ts';

/** A binary heap of slots of a table. */
export class StepHeap {
  #heap = new Int32Array(1024);
  #size = 0;

  constructor(private readonly table: StepTable) {}

  /** -1 when empty. */
  get top(): number {
    return this.#size === 0 ? -1 : (this.#heap[0] as number);
  }

  #sooner(a: number, b: number): boolean {
    const { cells } = this.table;
    const [one, other] = [a * CELLS, b * CELLS];
    const from = (cells[one + FROM] as number) - (cells[other + FROM] as number);
    if (from !== 0) return from < 0;
    const ready = (cells[one + READY] as number) - (cells[other + READY] as number);
    return ready === 0 ? (cells[one + NUMBER] as number) < (cells[other + NUMBER] as number) : ready < 0;
  }

  push(slot: number): void {
    if (this.#size === this.#heap.length) {
      const grown = new Int32Array(2 * this.#size);
      grown.set(this.#heap);
      this.#heap = grown;
    }
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#sooner(slot, this.#heap[parent] as number)) break;
      this.#heap[at] = this.#heap[parent] as number;
      at = parent;
    }
    this.#heap[at] = slot;
  }

  pop(): void {
    const last = this.#heap[--this.#size] as number;
    if (this.#size === 0) return;
    this.#heap[0] = last;
    this.sinkTop();
  }

  /** The one on top can begin later than when it came there. */
  sinkTop(): void {
    const slot = this.#heap[0] as number;
    let at = 0;
    for (let child = 1; child < this.#size; child = 2 * at + 1) {
      if (child + 1 < this.#size && this.#sooner(this.#heap[child + 1] as number, this.#heap[child] as number)) child++;
      if (!this.#sooner(this.#heap[child] as number, slot)) break;
      this.#heap[at] = this.#heap[child] as number;
      at = child;
    }
    this.#heap[at] = slot;
  }
}
