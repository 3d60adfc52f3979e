/**
 * A discrete-event simulation of steps on channels, to which steps can be added while it runs.
 *
 * A step occupies its channels for `busyMs` and is over `delayMs` later. It begins as soon as everything that it comes after is over and its channels
 * are free; of several that could begin, the one that waits longest goes first, of these the one that was added first. Beside steps there are
 * moments to be told of (the end of a step, a time); at the same time they come before steps that begin, so that what is added then has its turn.
 *
 * Steps are forgotten when they are over: memory is that of the steps that wait or run. Nothing depends on the computer's clock.
 */
import TinyQueue from 'tinyqueue';
import { StepHeap } from './step-heap.ts';
import { BUSY, CELLS, CHANNEL, DELAY, END as STEP_END, larger, NO_CHANNEL, NUMBER, OTHER, READY, StepTable } from './step-table.ts';

/** Of several at the same time, what comes first. */
const [END, TIMER, ROUND] = [0, 1, 2];

interface Moment {
  readonly ms: number;
  readonly order: number;
  readonly number: number;
  readonly tell: () => void;
}

const sooner = (a: Moment, b: Moment): number => a.ms - b.ms || a.order - b.order || a.number - b.number;

export interface SimulationOptions {
  /** Steps on some channels need one of so many processors, each to itself, while they are busy. No limit by default. */
  readonly processors?: number;
  /** Which channels; none by default. */
  readonly needsProcessor?: (channel: number) => boolean;
  /** Told when a step's times are known, which is when it begins. @param number how many steps were added before it */
  readonly onStart?: (number: number, startMs: number, endMs: number) => void;
}

/** The one that is free first. */
const firstFree = (freeMs: Float64Array): number => freeMs.reduce((first, free, index) => (free < (freeMs[first] as number) ? index : first), 0);

/** A step that was added, for others to come after; stays valid when the step is over and forgotten. */
export type StepId = number;

export class Simulation {
  readonly #table = new StepTable();
  readonly #ready = new StepHeap(this.#table);
  readonly #moments = new TinyQueue<Moment>([], sooner);
  readonly #watchers = new Map<number, (() => void)[]>();
  /** When each channel is free. */
  #freeMs = new Float64Array(64);
  readonly #processorFreeMs: Float64Array;
  readonly #onStart: SimulationOptions['onStart'];
  readonly #needsProcessor: (channel: number) => boolean;
  #nowMs = 0;
  #told = 0;
  /** Of the step that has begun last. */
  #endMs = 0;

  constructor({ processors = Infinity, needsProcessor = () => false, onStart }: SimulationOptions = {}) {
    this.#processorFreeMs = new Float64Array(Number.isFinite(processors) ? processors : 0);
    [this.#onStart, this.#needsProcessor] = [onStart, needsProcessor];
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Steps that wait or run, and some that are over but not yet forgotten. */
  get liveSteps(): number {
    return this.#table.live;
  }

  /** Steps that were added so far. */
  get steps(): number {
    return this.#table.added;
  }

  /** Adds a step that comes after others; it can begin at once when these are over. */
  add(after: readonly StepId[], busyMs: number, delayMs: number, channel: number, other = NO_CHANNEL): StepId {
    const table = this.#table;
    while (Math.max(channel, other) >= this.#freeMs.length) this.#freeMs = larger(this.#freeMs);
    const slot = table.take(busyMs, delayMs, channel, other);
    let readyMs = this.#nowMs;
    for (const id of after) {
      const before = table.slotOf(id);
      if (before < 0) continue; // over
      if (table.hasBegun(before)) readyMs = Math.max(readyMs, table.cells[before * CELLS + STEP_END] as number);
      else table.follow(before, slot);
    }
    table.cells[slot * CELLS + READY] = readyMs;
    if (table.isReady(slot)) this.#ready.push(slot, readyMs);
    return table.idOf(slot);
  }

  /** Tells when a step is over; at once (of this moment) when it is already. */
  whenOver(step: StepId, tell: () => void): void {
    const slot = this.#table.slotOf(step);
    if (slot < 0) return this.#tell(this.#nowMs, END, tell);
    if (this.#table.hasBegun(slot)) return this.#tell(this.#table.cells[slot * CELLS + STEP_END] as number, END, tell);
    const others = this.#watchers.get(slot);
    if (others === undefined) this.#watchers.set(slot, [tell]);
    else others.push(tell);
  }

  /** Tells when all of some steps are over. */
  whenAllOver(steps: readonly StepId[], tell: () => void): void {
    let left = steps.length;
    if (left === 0) this.#tell(this.#nowMs, END, tell);
    for (const step of steps) this.whenOver(step, () => void (--left === 0 && tell()));
  }

  /** Tells at a time; at once when it is past. */
  at(ms: number, tell: () => void): void {
    this.#tell(ms, TIMER, tell);
  }

  /** Tells when all of this moment have been told: ends of steps, and times. */
  afterMoment(tell: () => void): void {
    this.#tell(this.#nowMs, ROUND, tell);
  }

  /** Until nothing is left to happen. */
  run(): void {
    for (;;) {
      const slot = this.#ready.top;
      const moment = this.#moments.peek();
      if (moment !== undefined && (slot < 0 || moment.ms <= this.#ready.topMs)) {
        this.#moments.pop();
        this.#nowMs = Math.max(this.#nowMs, moment.ms);
        moment.tell();
      } else if (slot >= 0) {
        this.#tryTop(slot);
      } else {
        return;
      }
    }
  }

  #tell(ms: number, order: number, tell: () => void): void {
    this.#moments.push({ ms: Math.max(ms, this.#nowMs), order, number: this.#told++, tell });
  }

  /** Begins the step that can begin soonest, unless a channel was taken meanwhile. */
  #tryTop(slot: number): void {
    const { cells } = this.#table;
    const at = slot * CELLS;
    const channel = cells[at + CHANNEL] as number;
    const other = cells[at + OTHER] as number;
    let startMs = Math.max(cells[at + READY] as number, this.#freeMs[channel] as number);
    if (other !== NO_CHANNEL) startMs = Math.max(startMs, this.#freeMs[other] as number);
    const processor = this.#processorFreeMs.length > 0 && this.#needsProcessor(channel) ? firstFree(this.#processorFreeMs) : -1;
    if (processor >= 0) startMs = Math.max(startMs, this.#processorFreeMs[processor] as number);
    if (startMs > this.#ready.topMs) return this.#ready.delayTop(startMs);
    this.#ready.pop();
    const freeMs = startMs + (cells[at + BUSY] as number);
    this.#freeMs[channel] = freeMs;
    if (other !== NO_CHANNEL) this.#freeMs[other] = freeMs;
    if (processor >= 0) this.#processorFreeMs[processor] = freeMs;
    this.#begin(slot, startMs);
  }

  #begin(slot: number, startMs: number): void {
    const table = this.#table;
    const { cells } = table;
    const at = slot * CELLS;
    this.#nowMs = startMs;
    const endMs = startMs + (cells[at + BUSY] as number) + (cells[at + DELAY] as number);
    this.#endMs = cells[at + STEP_END] = endMs;
    this.#onStart?.(cells[at + NUMBER] as number, startMs, endMs);
    table.begin(slot, this.#follows);
    if (this.#watchers.size > 0) this.#tellWatchers(slot, endMs);
    table.forgetSome(startMs);
  }

  #tellWatchers(slot: number, endMs: number): void {
    const watchers = this.#watchers.get(slot);
    if (watchers === undefined) return;
    for (const tell of watchers) this.#tell(endMs, END, tell);
    this.#watchers.delete(slot);
  }

  /** One thing fewer to wait for, of a step that comes after the one that has begun last. */
  readonly #follows = (slot: number): void => {
    const { cells } = this.#table;
    const at = slot * CELLS;
    if (this.#endMs > (cells[at + READY] as number)) cells[at + READY] = this.#endMs;
    if (this.#table.isReady(slot)) this.#ready.push(slot, cells[at + READY] as number);
  };
}
