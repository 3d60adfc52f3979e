/**
 * Steps of work on the channels of ranks, and when each of them runs: a small discrete-event simulation.
 *
 * Every rank has four channels: its device, the two directions of its link, and the way from host memory to the device. A step occupies its channels for `busyMs` and is over
 * `delayMs` later (the latency of a message, during which the link is free for the next one). It begins as soon as everything that it
 * comes after is over and its channels are free; of several that could begin, the one that waits longest goes first.
 */

import type { ExchangeKind } from '../trace/exchange-names.ts';

export type ChannelKind = 'device' | 'send' | 'receive' | 'host';

/** A part of a compute step. */
export interface ComputePart {
  /** null: the head. */
  readonly layer: number | null;
  readonly flops: number;
}

/** What a step belongs to. */
export interface StepPlace {
  readonly pass: number;
  /** null: the head. */
  readonly layer: number | null;
  /** What a message is for; `stage`: rows from one stage of a pipeline to the next. */
  readonly exchange?: ExchangeKind;
  /** What a compute step does, in order, where that is more than one thing. */
  readonly parts?: readonly ComputePart[];
}

export interface Step extends StepPlace {
  /**
   * A `read` is a message that the receiver fetches; the sender takes no part in it. A `load` brings bytes from a rank's host memory to its
   * device.
   */
  readonly kind: 'compute' | 'message' | 'read' | 'load';
  /** Whose device computes, or whose bytes travel. */
  readonly rank: number;
  /** Who receives. */
  readonly to: number;
  readonly channels: readonly number[];
  readonly busyMs: number;
  readonly delayMs: number;
  /** Indices of earlier steps. */
  readonly after: readonly number[];
  readonly bytes: number;
  readonly flops: number;
}

const KINDS: readonly ChannelKind[] = ['device', 'send', 'receive', 'host'];
const channelOf = (rank: number, kind: ChannelKind): number => rank * KINDS.length + KINDS.indexOf(kind);

/** What steps cost. */
export interface Rates {
  /** FLOP/s of each rank. */
  readonly flopsPerSecond: readonly number[];
  /** Of a rank's link in each direction; Infinity: no limit. */
  readonly bytesPerSecond: number;
  readonly latencyMs: number;
  /** From a rank's host memory to its device; no limit by default. */
  readonly hostBytesPerSecond?: number;
}

/** Collects steps; the result of each call is the step's index, for others to come after. */
export class Steps {
  readonly list: Step[] = [];

  constructor(readonly rates: Rates) {}

  compute(rank: number, flops: number, after: readonly number[], place: StepPlace): number {
    const busyMs = (flops / (this.rates.flopsPerSecond[rank] as number)) * 1000;
    return this.#add({ kind: 'compute', rank, to: rank, channels: [channelOf(rank, 'device')], busyMs, delayMs: 0, after, bytes: 0, flops, ...place });
  }

  /** Occupies the sender's link and the receiver's. */
  message(from: number, to: number, bytes: number, after: readonly number[], place: StepPlace): number {
    return this.#transfer('message', from, to, bytes, [channelOf(from, 'send'), channelOf(to, 'receive')], after, place);
  }

  /** A read of bytes that lie ready at a peer: occupies the reader's link only. */
  read(peer: number, reader: number, bytes: number, after: readonly number[], place: StepPlace): number {
    return this.#transfer('read', peer, reader, bytes, [channelOf(reader, 'receive')], after, place);
  }

  /** Bytes that a rank's device takes from host memory. */
  load(rank: number, bytes: number, after: readonly number[], place: StepPlace): number {
    const busyMs = (bytes / (this.rates.hostBytesPerSecond ?? Infinity)) * 1000;
    return this.#add({ kind: 'load', rank, to: rank, channels: [channelOf(rank, 'host')], busyMs, delayMs: 0, after, bytes, flops: 0, ...place });
  }

  #transfer(kind: 'message' | 'read', rank: number, to: number, bytes: number, channels: readonly number[], after: readonly number[], place: StepPlace): number {
    const { bytesPerSecond, latencyMs } = this.rates;
    return this.#add({ kind, rank, to, channels, busyMs: (bytes / bytesPerSecond) * 1000, delayMs: latencyMs, after, bytes, flops: 0, ...place });
  }

  #add(step: Step): number {
    return this.list.push(step) - 1;
  }
}

/** When each step began and was over, milliseconds, by index. */
export interface Schedule {
  readonly steps: readonly Step[];
  readonly startMs: Float64Array;
  readonly endMs: Float64Array;
  /** When the last step was over. */
  readonly wallMs: number;
}

/** Steps that wait, the one that can begin soonest on top: by when it can, then by since when it is ready, then by index. A binary heap. */
class Queue {
  readonly #heap: Int32Array;
  #size = 0;

  constructor(private readonly fromMs: Float64Array, private readonly readyMs: Float64Array) {
    this.#heap = new Int32Array(fromMs.length);
  }

  #sooner(a: number, b: number): boolean {
    const from = (this.fromMs[a] as number) - (this.fromMs[b] as number);
    if (from !== 0) return from < 0;
    const ready = (this.readyMs[a] as number) - (this.readyMs[b] as number);
    return ready === 0 ? a < b : ready < 0;
  }

  push(step: number): void {
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#sooner(step, this.#heap[parent] as number)) break;
      this.#heap[at] = this.#heap[parent] as number;
      at = parent;
    }
    this.#heap[at] = step;
  }

  /** -1 when empty. */
  pop(): number {
    if (this.#size === 0) return -1;
    const top = this.#heap[0] as number;
    const last = this.#heap[--this.#size] as number;
    let at = 0;
    for (let child = 1; child < this.#size; child = 2 * at + 1) {
      if (child + 1 < this.#size && this.#sooner(this.#heap[child + 1] as number, this.#heap[child] as number)) child++;
      if (!this.#sooner(this.#heap[child] as number, last)) break;
      this.#heap[at] = this.#heap[child] as number;
      at = child;
    }
    this.#heap[at] = last;
    return top;
  }
}

/** For each step those that come after it: `list` from `starts[step]` to `starts[step + 1]`. */
function followersOf(steps: readonly Step[]): { readonly starts: Uint32Array; readonly list: Uint32Array } {
  const starts = new Uint32Array(steps.length + 1);
  for (const { after } of steps) for (const before of after) (starts[before + 1] as number)++;
  for (let step = 0; step < steps.length; step++) (starts[step + 1] as number) += starts[step] as number;
  const list = new Uint32Array(starts[steps.length] as number);
  const next = starts.slice();
  for (let step = 0; step < steps.length; step++) for (const before of (steps[step] as Step).after) list[(next[before] as number)++] = step;
  return { starts, list };
}

/** The one that is free first. */
const firstFree = (freeMs: Float64Array): number => freeMs.reduce((first, free, index) => (free < (freeMs[first] as number) ? index : first), 0);

/**
 * Runs the steps. Their `after` point backwards, so there is always one that can begin.
 * @param processors how many devices can compute at the same time, where ranks share them; a step has its processor to itself
 */
export function simulate(steps: readonly Step[], processors = Infinity): Schedule {
  const [startMs, endMs, readyMs, fromMs] = [0, 1, 2, 3].map(() => new Float64Array(steps.length)) as [Float64Array, Float64Array, Float64Array, Float64Array];
  const missing = Uint32Array.from(steps, ({ after }) => after.length);
  const followers = followersOf(steps);
  const freeMs = new Float64Array(steps.reduce((most, { channels }) => Math.max(most, ...channels), 0) + 1);
  const processorFreeMs = new Float64Array(Number.isFinite(processors) ? processors : 0);
  const queue = new Queue(fromMs, readyMs);
  for (let step = 0; step < steps.length; step++) if (missing[step] === 0) queue.push(step);
  let wallMs = 0;
  for (let step = queue.pop(); step >= 0; step = queue.pop()) {
    const { kind, channels, busyMs, delayMs } = steps[step] as Step;
    let start = readyMs[step] as number;
    for (const channel of channels) start = Math.max(start, freeMs[channel] as number);
    const processor = kind === 'compute' && processorFreeMs.length > 0 ? firstFree(processorFreeMs) : -1;
    if (processor >= 0) start = Math.max(start, processorFreeMs[processor] as number);
    if (start > (fromMs[step] as number)) { // a channel was taken meanwhile
      fromMs[step] = start;
      queue.push(step);
      continue;
    }
    const end = start + busyMs + delayMs;
    startMs[step] = start;
    endMs[step] = end;
    for (const channel of channels) freeMs[channel] = start + busyMs;
    if (processor >= 0) processorFreeMs[processor] = start + busyMs;
    wallMs = Math.max(wallMs, end);
    for (let at = followers.starts[step] as number; at < (followers.starts[step + 1] as number); at++) {
      const follower = followers.list[at] as number;
      readyMs[follower] = fromMs[follower] = Math.max(readyMs[follower] as number, end);
      if (--(missing[follower] as number) === 0) queue.push(follower);
    }
  }
  return { steps, startMs, endMs, wallMs };
}
