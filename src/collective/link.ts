/**
 * What a link between ranks can carry, and a port that keeps to it, so that one machine can stand for several kinds of interconnect.
 *
 * A port works on an absolute schedule: bytes are given the next free time of their direction, however late the timers of this process are,
 * so lateness never lowers the throughput. Times are milliseconds of a clock that all processes of a machine share (see {@link systemClock}).
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { InputError } from '../errors.ts';

/** A full-duplex port: every rank has one, and all its bytes go through it, whatever the strategy. */
export interface Link {
  /** In each direction. */
  readonly bytesPerSecond: number;
  /** Added to every message (and to every read of a shard). */
  readonly latencyMs: number;
}

const RATE_UNITS: Readonly<Record<string, number>> = {
  B: 1, kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40,
};
/** How many of the unit make a millisecond; dividing by it is exact where multiplying by a fraction is not. */
const UNITS_PER_MS: Readonly<Record<string, number>> = { us: 1e3, 'µs': 1e3, ms: 1, s: 1e-3 };
const LINK = /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\/s\s*(?:,\s*(\d+(?:\.\d+)?)\s*(us|µs|ms|s)\s*)?$/;

/**
 * `18MB/s,50us`, `2GB/s`, `1.5GiB/s,0.2ms`: bytes per second in each direction and, if given, latency.
 * @throws InputError naming --link and the forms expected
 */
export function parseLink(text: string): Link {
  const [, rate, unit = '', latency = '0', latencyUnit = 'ms'] = LINK.exec(text) ?? [];
  const bytesPerSecond = Number(rate) * (RATE_UNITS[unit] ?? NaN);
  const latencyMs = Number(latency) / (UNITS_PER_MS[latencyUnit] ?? NaN);
  if (bytesPerSecond > 0 && Number.isFinite(bytesPerSecond) && Number.isFinite(latencyMs)) return { bytesPerSecond, latencyMs };
  throw new InputError('--link', '', `${JSON.stringify(text)} is not a link; expected a rate above zero and, if wanted, a latency, such as 2GB/s, 1.5GiB/s,0.2ms or 18MB/s,50us`);
}

const tidy = (value: number): string => String(Number(value.toPrecision(12)));

/** In the form that {@link parseLink} reads. */
export function formatLink({ bytesPerSecond, latencyMs }: Link): string {
  const [unit, scale] = ([['TB', 1e12], ['GB', 1e9], ['MB', 1e6], ['kB', 1e3]] as const).find(([, least]) => bytesPerSecond >= least) ?? ['B', 1];
  const rate = `${tidy(bytesPerSecond / scale)}${unit}/s`;
  if (latencyMs === 0) return rate;
  return latencyMs < 1 ? `${rate},${tidy(latencyMs * 1e3)}us` : `${rate},${tidy(latencyMs)}ms`;
}

/** Time as a port sees it; tests put in one that they turn by hand. */
export interface Clock {
  /** Milliseconds since some moment that all ranks of this machine share. */
  now(): number;
  /** Resolves when `now()` has reached `ms`; at once if it has. */
  until(ms: number): Promise<void>;
}

/** `setTimeout` may be late by as much; what is nearer than this is waited for turn by turn of the event loop. */
const TIMER_MS = 1;

/** The monotonic clock, which counts from the machine's start in every process. Waits are exact to a turn of the event loop. */
export const systemClock: Clock = {
  now: () => Number(process.hrtime.bigint()) / 1e6,
  async until(ms) {
    for (;;) {
      const left = ms - systemClock.now();
      if (left <= 0) return;
      if (left > 2 * TIMER_MS) await sleep(left - TIMER_MS);
      else await nextTurn();
    }
  },
};

/** Messages and reads are booked in pieces of at most so many bytes, so that a small message need not wait behind a large one. */
export const LINK_CHUNK_BYTES = 256 << 10;
/** A sender books at most so far ahead: the receiver keeps the exact times. */
const AHEAD_MS = 2 * TIMER_MS;
/** A time of departure further off than this is not one of the same clock. */
const SAME_CLOCK_MS = 10_000;

/** One rank's end of its link. Booking is synchronous and returns times; waiting is left to the caller ({@link Port.until}). */
export class Port {
  #egressFree = -Infinity;
  #ingressFree = -Infinity;
  readonly #msPerByte: number;

  constructor(readonly link: Link, private readonly clock: Clock = systemClock) {
    this.#msPerByte = 1e3 / link.bytesPerSecond;
  }

  /**
   * Books egress for `bytes` that are ready at `readyMs`; of one message's pieces, the next is ready when the one before has departed.
   * @returns when the last of them has left this rank
   */
  depart(bytes: number, readyMs: number = this.clock.now()): number {
    return (this.#egressFree = Math.max(readyMs, this.#egressFree) + bytes * this.#msPerByte);
  }

  /**
   * Books ingress for `bytes` the last of which left the peer at `departedMs` (as its {@link Port.depart} said; now, if the peer has another
   * clock). They were on the line while they left, so an idle port has them one latency later. To be called as soon as they come.
   * @returns when the last of them is here
   */
  arrive(bytes: number, departedMs?: number): number {
    const now = this.clock.now();
    const departed = departedMs !== undefined && Math.abs(now - departedMs) < SAME_CLOCK_MS ? departedMs : now;
    return (this.#ingressFree = Math.max(departed + this.link.latencyMs, this.#ingressFree + bytes * this.#msPerByte));
  }

  until(ms: number): Promise<void> {
    return this.clock.until(ms);
  }

  /** Resolves when bytes that depart at `ms` may be handed on: a little ahead, because the receiver looks at the exact time. */
  nearly(ms: number): Promise<void> | undefined {
    return ms - this.clock.now() > AHEAD_MS ? this.clock.until(ms - AHEAD_MS / 2) : undefined;
  }

  /** Waits until `bytes` have left this rank. */
  send(bytes: number): Promise<void> {
    return this.until(this.depart(bytes));
  }

  /** Waits until `bytes` that come from a peer now are here. */
  receive(bytes: number, departedMs?: number): Promise<void> {
    return this.until(this.arrive(bytes, departedMs));
  }

  /** Waits as long as it takes to fetch `bytes` that lie ready at a peer: latency, then their time on the ingress side. */
  async fetch(bytes: number): Promise<void> {
    let here = this.clock.now() + this.link.latencyMs;
    for (let left = bytes; left > 0; left -= LINK_CHUNK_BYTES) {
      here = this.#ingressFree = Math.max(here, this.#ingressFree) + Math.min(left, LINK_CHUNK_BYTES) * this.#msPerByte;
      await this.nearly(here);
    }
    await this.until(here);
  }
}
