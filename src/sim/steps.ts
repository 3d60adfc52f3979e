/**
 * Steps of work on the channels of ranks, and what they cost.
 *
 * Every rank has four channels: its device, the two directions of its link, and the way from host memory to the device. A step occupies its channels
 * for `busyMs` and is over `delayMs` later (the latency of a message, during which the link is free for the next one).
 */

import type { ExchangeKind } from '../trace/exchange-names.ts';
import { extraMs, jitterFactor, type Extra, type Overheads } from './overheads.ts';
import { NO_CHANNEL } from './step-table.ts';

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
  /** Whose device computes, or whose bytes travel; who reads, where the shards of several ranks are read. */
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
  /** A `read` of all other ranks' shards in one. */
  readonly shards?: readonly number[];
}

/** What a rank reads of all others. */
export interface Gather {
  /** Bytes of each rank's shard; the reader's own is not read. */
  readonly shards: readonly number[];
  /** Of the others together. */
  readonly bytes: number;
}

const [DEVICE, SEND, RECEIVE, HOST, KINDS] = [0, 1, 2, 3, 4];
const channelOf = (rank: number, kind: number): number => rank * KINDS + kind;

/** Whether a channel is a rank's device. */
export const isDevice = (channel: number): boolean => channel % KINDS === DEVICE;

/** What steps cost. */
export interface Rates {
  /** FLOP/s of each rank. */
  readonly flopsPerSecond: readonly number[];
  /** Of a rank's link in each direction; Infinity: no limit. */
  readonly bytesPerSecond: number;
  readonly latencyMs: number;
  /** From a rank's host memory to its device; no limit by default. */
  readonly hostBytesPerSecond?: number;
  /** What a gather of a layer takes, where it is known and need not follow from the link. */
  readonly gatherMs?: number;
  readonly overheads?: Overheads;
}

const NOTHING: Extra = {};

/** How long a device is busy with FLOPs. */
const computeMs = ({ flopsPerSecond }: Rates, rank: number, flops: number): number => (flops / (flopsPerSecond[rank] as number)) * 1000;

/** How long a link is busy with bytes. */
const transferMs = ({ bytesPerSecond }: Rates, bytes: number): number => (bytes / bytesPerSecond) * 1000;

/** How long the way from host memory is busy with bytes. */
const loadMs = ({ hostBytesPerSecond = Infinity }: Rates, bytes: number): number => (bytes / hostBytesPerSecond) * 1000;

/** A step before it is added. One object serves for all, so it has to be read at once. */
export interface StepDraft {
  kind: Step['kind'];
  rank: number;
  to: number;
  /** Channels that it occupies; `other`: {@link NO_CHANNEL} when it is one. */
  channel: number;
  other: number;
  busyMs: number;
  delayMs: number;
  after: readonly number[];
  bytes: number;
  flops: number;
  shards: readonly number[] | null;
  place: StepPlace;
}

/** Makes steps; the result of each call names the step, for others to come after. What becomes of them is for subclasses. */
export abstract class StepBuilder {
  readonly #draft: StepDraft = {
    kind: 'compute', rank: 0, to: 0, channel: 0, other: NO_CHANNEL, busyMs: 0, delayMs: 0, after: [], bytes: 0, flops: 0, shards: null, place: { pass: 0, layer: null },
  };

  readonly #overheads: Overheads;
  /** Compute steps of each rank so far. */
  readonly #computes: number[];

  constructor(readonly rates: Rates) {
    this.#overheads = rates.overheads ?? {};
    this.#computes = rates.flopsPerSecond.map(() => 0);
  }

  /** @returns the step's name, for `after` */
  protected abstract add(draft: Readonly<StepDraft>): number;

  /** Milliseconds that it keeps a device busy. */
  extraMs(extra: Extra): number {
    return extraMs(this.#overheads, extra);
  }

  /** @param extra what is done beside the FLOPs */
  /** Adds more when a step is over; where steps are only listed: at once. */
  later(_step: number, add: () => void): void {
    add();
  }

  compute(rank: number, flops: number, after: readonly number[], place: StepPlace, extra: Extra = NOTHING): number {
    const draft = this.#start('compute', rank, rank, channelOf(rank, DEVICE), after, place);
    const count = (this.#computes[rank] as number)++;
    draft.busyMs = (computeMs(this.rates, rank, flops) + this.extraMs(extra)) * jitterFactor(this.#overheads, rank, count);
    draft.flops = flops;
    return this.add(draft);
  }

  /** Occupies the sender's link and the receiver's. */
  message(from: number, to: number, bytes: number, after: readonly number[], place: StepPlace): number {
    const draft = this.#transfer('message', from, to, channelOf(from, SEND), bytes, after, place);
    draft.other = channelOf(to, RECEIVE);
    draft.delayMs += this.#overheads.noticeMs ?? 0;
    return this.add(draft);
  }

  /** A read of bytes that lie ready at a peer: occupies the reader's link only. */
  read(peer: number, reader: number, bytes: number, after: readonly number[], place: StepPlace): number {
    return this.add(this.#transfer('read', peer, reader, channelOf(reader, RECEIVE), bytes, after, place));
  }

  /** Reads of all peers' shards of a layer, one after the other. */
  gather(reader: number, { shards, bytes }: Gather, after: readonly number[], place: StepPlace): number {
    const draft = this.#transfer('read', reader, reader, channelOf(reader, RECEIVE), bytes, after, place);
    draft.shards = shards;
    if (this.rates.gatherMs !== undefined) [draft.busyMs, draft.delayMs] = [this.rates.gatherMs, 0];
    return this.add(draft);
  }

  /** Bytes that a rank's device takes from host memory. */
  load(rank: number, bytes: number, after: readonly number[], place: StepPlace): number {
    const draft = this.#start('load', rank, rank, channelOf(rank, HOST), after, place);
    draft.busyMs = loadMs(this.rates, bytes);
    draft.bytes = bytes;
    return this.add(draft);
  }

  #transfer(kind: 'message' | 'read', rank: number, to: number, channel: number, bytes: number, after: readonly number[], place: StepPlace): StepDraft {
    const draft = this.#start(kind, rank, to, channel, after, place);
    draft.busyMs = transferMs(this.rates, bytes);
    draft.delayMs = this.rates.latencyMs;
    draft.bytes = bytes;
    return draft;
  }

  #start(kind: Step['kind'], rank: number, to: number, channel: number, after: readonly number[], place: StepPlace): StepDraft {
    const draft = this.#draft;
    [draft.kind, draft.rank, draft.to, draft.channel, draft.after, draft.place] = [kind, rank, to, channel, after, place];
    [draft.other, draft.busyMs, draft.delayMs, draft.bytes, draft.flops, draft.shards] = [NO_CHANNEL, 0, 0, 0, 0, null];
    return draft;
  }
}

/** The step of a draft, to keep. @param after indices of steps that are kept */
export function stepOf({ place, channel, other, shards, ...draft }: Readonly<StepDraft>, after: readonly number[]): Step {
  return { ...draft, after, channels: other === NO_CHANNEL ? [channel] : [channel, other], ...(shards !== null && { shards }), ...place };
}
