/**
 * Steps of work on the channels of ranks, and when each of them runs: a small discrete-event simulation.
 *
 * Every rank has three channels: its device, and the two directions of its link. A step occupies its channels for `busyMs` and is over
 * `delayMs` later (the latency of a message, during which the link is free for the next one). It begins as soon as everything that it
 * comes after is over and its channels are free; of several that could begin, the one that waits longest goes first.
 */

export type ChannelKind = 'device' | 'send' | 'receive';

export interface Step {
  /** A `read` is a message that the receiver fetches; the sender takes no part in it. */
  readonly kind: 'compute' | 'message' | 'read';
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
  readonly pass: number;
  readonly layer: number;
}

export interface StepPlace {
  readonly pass: number;
  readonly layer: number;
}

const KINDS: readonly ChannelKind[] = ['device', 'send', 'receive'];
const channelOf = (rank: number, kind: ChannelKind): number => rank * KINDS.length + KINDS.indexOf(kind);

/** What steps cost. */
export interface Rates {
  /** FLOP/s of each rank. */
  readonly flopsPerSecond: readonly number[];
  /** Of a rank's link in each direction; Infinity: no limit. */
  readonly bytesPerSecond: number;
  readonly latencyMs: number;
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

/** A step that may begin at `fromMs` or later. */
interface Waiting {
  readonly step: number;
  readonly readyMs: number;
  readonly fromMs: number;
}

const sooner = (a: Waiting, b: Waiting): boolean =>
  a.fromMs !== b.fromMs ? a.fromMs < b.fromMs : a.readyMs !== b.readyMs ? a.readyMs < b.readyMs : a.step < b.step;

/** Binary heap, the soonest on top. */
class Queue {
  readonly #heap: Waiting[] = [];

  push(item: Waiting): void {
    let at = this.#heap.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!sooner(item, this.#heap[parent] as Waiting)) break;
      this.#heap[at] = this.#heap[parent] as Waiting;
      at = parent;
    }
    this.#heap[at] = item;
  }

  pop(): Waiting | undefined {
    const top = this.#heap[0];
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#heap.length) break;
      if (child + 1 < this.#heap.length && sooner(this.#heap[child + 1] as Waiting, this.#heap[child] as Waiting)) child++;
      if (!sooner(this.#heap[child] as Waiting, last)) break;
      this.#heap[at] = this.#heap[child] as Waiting;
      at = child;
    }
    this.#heap[at] = last;
    return top;
  }
}

/** Runs the steps. Their `after` point backwards, so there is always one that can begin. */
export function simulate(steps: readonly Step[]): Schedule {
  const startMs = new Float64Array(steps.length);
  const endMs = new Float64Array(steps.length);
  const missing = Uint32Array.from(steps, ({ after }) => after.length);
  const followers: number[][] = steps.map(() => []);
  for (const [index, { after }] of steps.entries()) for (const before of after) followers[before]?.push(index);
  const freeMs = new Map<number, number>();
  const readyMs = new Float64Array(steps.length);
  const queue = new Queue();
  const enqueue = (step: number): void => queue.push({ step, readyMs: readyMs[step] as number, fromMs: readyMs[step] as number });
  for (const index of steps.keys()) if (missing[index] === 0) enqueue(index);
  let wallMs = 0;
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const { channels, busyMs, delayMs } = steps[next.step] as Step;
    const fromMs = channels.reduce((latest, channel) => Math.max(latest, freeMs.get(channel) ?? 0), next.readyMs);
    if (fromMs > next.fromMs) {
      queue.push({ ...next, fromMs }); // a channel was taken meanwhile
      continue;
    }
    const end = fromMs + busyMs + delayMs;
    [startMs[next.step], endMs[next.step]] = [fromMs, end];
    for (const channel of channels) freeMs.set(channel, fromMs + busyMs);
    wallMs = Math.max(wallMs, end);
    for (const follower of followers[next.step] as number[]) {
      readyMs[follower] = Math.max(readyMs[follower] as number, end);
      if (--(missing[follower] as number) === 0) enqueue(follower);
    }
  }
  return { steps, startMs, endMs, wallMs };
}
