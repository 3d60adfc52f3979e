/**
 * Slots that are filled again and again: the engine room of `asyncep` and `sync`.
 *
 * Streamed layers are numbered by *position*, on and on over all passes; position p uses slot p mod slots. A position is filled
 * by a device copy of the own shard's part and, piece by piece, by reads from the peers' shards into staging memory, each followed by a
 * copy to the slot; with offload the own part is read like the peers'. Two rules say when:
 *   - reads of position p may begin once p < entered + depth (the layers that asked for their slot, plus the lead);
 *   - copies to the slot of p may be submitted once p < finished + slots: the queue keeps them behind the compute that read the slot before.
 * Copies are submitted as soon as both hold, so those of the next layer normally stand in front of this layer's dispatches.
 */
import { RankError } from '../errors.ts';
import type { ExpertRange } from '../collective/partition.ts';
import type { ShardReader } from '../collective/transport.ts';
import { createBanks, cutPieces, type Piece } from './banks.ts';
import { destroyIn, planExperts, settingsOf, slotOf, type CountedStream, type ExpertPlan, type StreamContext, type StreamSettings } from './context.ts';
import { CopyClock } from './copy-clock.ts';
import { Fill, type ReadPiece } from './fill.ts';
import { offloads } from './offload.ts';
import { loadOwnShard, type OwnPart } from './own-shard.ts';
import { loadLayers } from './resident-layers.ts';
import { destroySlots } from './resident.ts';
import type { Slot } from '../engine/slot-stream.ts';
import { StagingPool, type Staging } from './staging.ts';
import { StreamCounter, type StreamStats } from './stats.ts';
import { Watch } from './watch.ts';

export interface StreamedShape {
  /** Slots on the device: 2, or 1 when nothing is fetched ahead, or more with offload. */
  readonly slots: number;
  /** How many layers ahead of the one that computes may be read; 0: only the one that asks. */
  readonly depth: number;
  /** Begin a gather only when the device has finished everything before it. */
  readonly afterCompute: boolean;
}

/** Pieces being read at a time; each is read in several chunks. */
const PIECES_IN_FLIGHT = 4;

/** Loads the first layer and the own shard, creates slots and staging, and starts to read ahead. */
export async function createStreamed(context: StreamContext, shape: StreamedShape): Promise<CountedStream> {
  const plan = planExperts(context);
  const first = await loadLayers(context, context.geometry.layers.slice(0, 1), () => 'first layer/');
  const ownParts = await loadOwnShard(context);
  return new StreamedSlots(context, shape, plan, [...first.values()][0], ownParts);
}

/** The pieces of one owner's part of a layer. */
function piecesOf(owner: number, context: StreamContext, { layout, shards }: ExpertPlan): ReadPiece[] {
  const { readers, rank } = context;
  const { pieceBytes } = settingsOf(context);
  const reader = readers[owner] as ShardReader;
  return cutPieces(shards[owner] as ExpertRange, layout, pieceBytes).map((piece) => ({ ...piece, reader, own: owner === rank }));
}

/**
 * What is read of one layer, in order. Peers: the predecessor first, then the one before it, which is the order in which a ring delivers; and
 * so ranks do not all read the same shard at once. With offload the own pieces stand spread among them, so that host memory and
 * link are both busy all the time.
 */
function piecesToRead(context: StreamContext, plan: ExpertPlan): ReadPiece[] {
  const { rank } = context;
  const world = plan.shards.length;
  const peers = plan.shards.slice(1).flatMap((_, step) => piecesOf((rank - step - 1 + world) % world, context, plan));
  const own = offloads(context) ? piecesOf(rank, context, plan) : [];
  const spread = (pieces: readonly ReadPiece[]) => pieces.map((piece, i) => ({ piece, at: (i + 1) / (pieces.length + 1) }));
  return [...spread(peers), ...spread(own)].sort((a, b) => a.at - b.at).map(({ piece }) => piece);
}

class StreamedSlots implements CountedStream {
  readonly #settings: StreamSettings;
  readonly #pieces: readonly ReadPiece[];
  readonly #slots: readonly (readonly GPUBuffer[])[];
  readonly #pool: StagingPool;
  readonly #counter = new StreamCounter();
  readonly #watch: Watch;
  readonly #copyClock: CopyClock | null;
  /** Fills under way, by position, ascending. */
  readonly #fills = new Map<number, Fill>();
  #opened = 0;
  #entered = 0;
  #finished = 0;
  #reading = 0;
  #closed = false;
  #readsSettled: (() => void) | null = null;

  constructor(
    private readonly context: StreamContext,
    private readonly shape: StreamedShape,
    private readonly plan: ExpertPlan,
    private readonly firstSlot: Slot | undefined,
    private readonly ownParts: ReadonlyMap<number, readonly OwnPart[]>,
  ) {
    const settings = (this.#settings = settingsOf(context));
    const slotCount = plan.streamedLayers.length === 0 ? 0 : shape.slots;
    this.#slots = Array.from({ length: slotCount }, (_, s) => createBanks(context.createBuffer, `slots/${s} `, plan.layout));
    this.#pieces = slotCount === 0 ? [] : piecesToRead(context, plan);
    const largest = Math.max(0, ...this.#pieces.map((piece) => piece.bytes));
    const count = largest === 0 ? 0 : Math.max(1, Math.min(this.#pieces.length, Math.floor(settings.stagingBytes / largest)));
    this.#watch = new Watch(context.wait);
    this.#copyClock = settings.timeCopies ? CopyClock.create(context) : null;
    this.#pool = new StagingPool(context, count, largest, () => this.#onProgress(), (error) => this.#watch.fail(error));
    this.#pump();
  }

  begin(): void {
    if (this.#entered !== this.#finished || this.#entered % Math.max(1, this.plan.streamedLayers.length) !== 0) {
      throw new Error('a pass begins before the one before it has gone through all layers');
    }
  }

  async ready(layer: number): Promise<Slot> {
    this.#watch.check();
    const slot = layer === this.firstSlot?.layer ? this.firstSlot : await this.#enter(layer);
    if (this.shape.depth > 1) await this.#letNextGoFirst();
    return slot;
  }

  /** The next position is this layer's: waits until it is filled. */
  async #enter(layer: number): Promise<Slot> {
    const position = this.#entered;
    if (this.#slots.length === 0) throw new RangeError(`layer ${layer} is not a MoE layer`);
    const expected = this.#layerAt(position);
    if (layer !== expected) throw new RangeError(`layer ${layer} was asked for; layer ${expected} comes next`);
    const startMs = performance.now();
    const computing = this.context.device.queue.onSubmittedWorkDone();
    if (this.shape.afterCompute) await this.#watch.until(computing, () => this.#settings.deviceDeadlineMs, () => 'the device did not finish the layers before');
    this.#entered++;
    this.#pump();
    const fill = this.#fills.get(position) as Fill;
    if (!fill.complete) await this.#waitFor(fill, computing, this.shape.afterCompute ? performance.now() : startMs);
    this.#fills.delete(position);
    return slotOf(layer, this.#banksAt(position), this.plan.layout);
  }

  async #waitFor(fill: Fill, computing: Promise<undefined>, startMs: number): Promise<void> {
    let idleMs: number | null = null;
    computing.then(() => (idleMs ??= performance.now()), () => undefined);
    const limit = (): number => (idleMs !== null || this.#reading > 0 ? this.#settings.deadlineMs : this.#settings.deviceDeadlineMs);
    await this.#watch.until(fill.completed, limit, () => fill.missing());
    const endMs = performance.now();
    const counts = this.#counter.of(fill.layer);
    counts.waitedMs += endMs - startMs;
    if (idleMs !== null) counts.exposedMs += Math.max(0, endMs - Math.max(startMs, idleMs));
    this.context.trace?.({ track: 'wait', name: `wait for layer ${fill.layer}`, startMs, durationMs: endMs - startMs, layer: fill.layer, pass: fill.pass });
  }

  /**
   * The host runs ahead of the device. To submit this layer at once would put its dispatches before the next layer's copies, and on one
   * queue those would never overlap: so hold it back until they are submitted, but no longer than the device has other work.
   */
  async #letNextGoFirst(): Promise<void> {
    const next = this.#fills.get(this.#entered);
    if (next === undefined || next.complete) return;
    const idle = this.context.device.queue.onSubmittedWorkDone();
    await this.#watch.until(Promise.race([next.completed, idle]), () => this.#settings.deviceDeadlineMs, () => 'the device did not finish the layers before');
  }

  done(layer: number): void {
    if (layer !== this.plan.firstLayer) this.#finished++;
    this.#pump();
  }

  end(): void {
    this.#copyClock?.flush();
  }

  #layerAt(position: number): number {
    const { streamedLayers } = this.plan;
    return streamedLayers[position % streamedLayers.length] as number;
  }

  #banksAt(position: number): readonly GPUBuffer[] {
    return this.#slots[position % this.#slots.length] as readonly GPUBuffer[];
  }

  #onProgress(): void {
    this.#watch.progress();
    this.#pump();
  }

  /** Does all that may be done now; called whenever something has changed. */
  #pump(): void {
    if (this.#closed || this.#watch.failed || this.#slots.length === 0) return;
    for (; this.#opened < this.#entered + this.shape.depth; this.#opened++) {
      this.#fills.set(this.#opened, new Fill(this.#opened, this.#layerAt(this.#opened), Math.floor(this.#opened / this.plan.streamedLayers.length), this.#pieces));
    }
    for (const fill of this.#fills.values()) if (fill.position < this.#finished + this.shape.slots) this.#submitCopies(fill);
    for (const fill of this.#fills.values()) this.#startReads(fill);
  }

  #startReads(fill: Fill): void {
    while (fill.unread > 0 && this.#reading < PIECES_IN_FLIGHT) {
      const staging = this.#pool.take();
      if (staging === null) return;
      void this.#read(fill, fill.nextPiece(), staging);
    }
  }

  async #read(fill: Fill, piece: ReadPiece, staging: Staging): Promise<void> {
    this.#reading++;
    fill.clock.enter();
    try {
      await piece.reader.read(fill.layer, piece.first, piece.count, staging.bytes.subarray(0, piece.bytes));
      fill.stage(piece, staging);
    } catch (error) {
      this.#watch.fail(error);
    } finally {
      fill.clock.leave();
      this.#reading--;
    }
    if (fill.allStaged) this.#countGather(fill);
    if (this.#reading === 0) this.#readsSettled?.();
    this.#onProgress();
  }

  #countGather(fill: Fill): void {
    const { layer, pass, clock } = fill;
    const counts = this.#counter.of(layer);
    counts.gatherMs += clock.totalMs;
    for (const { own, bytes } of this.#pieces) counts[own ? 'offloadedBytes' : 'hostBytes'] += bytes;
    const startMs = clock.startMs as number;
    this.context.trace?.({ track: 'receive', name: `gather layer ${layer}`, startMs, durationMs: performance.now() - startMs, layer, pass });
  }

  /** One submit for all that is there: the own part (first time) and the pieces that have arrived. */
  #submitCopies(fill: Fill): void {
    const arrived = fill.takeStaged();
    const own = fill.ownCopied ? [] : (this.ownParts.get(fill.layer) ?? []);
    if (arrived.length === 0 && own.length === 0) return;
    const startMs = performance.now();
    const encoder = this.context.device.createCommandEncoder({ label: `copy layer ${fill.layer}` });
    this.#copyClock?.begin(encoder);
    const banks = this.#banksAt(fill.position);
    const copy = (source: GPUBuffer, piece: Piece): void =>
      encoder.copyBufferToBuffer(source, 0, banks[piece.bank] as GPUBuffer, piece.bankOffset, piece.bytes);
    for (const { buffer, piece } of own) copy(buffer, piece);
    for (const { staging, piece } of arrived) {
      staging.buffer.unmap();
      copy(staging.buffer, piece);
    }
    this.#copyClock?.end(encoder, fill);
    this.context.device.queue.submit([encoder.finish({ label: `copy layer ${fill.layer}` })]);
    for (const { staging } of arrived) this.#pool.recycle(staging);
    this.#countCopies(fill, own, startMs);
    fill.submitted(arrived.length);
  }

  #countCopies(fill: Fill, own: readonly OwnPart[], startMs: number): void {
    const counts = this.#counter.of(fill.layer);
    if (!fill.ownCopied) counts.gathers++;
    counts.ownBytes += own.reduce((sum, { piece }) => sum + piece.bytes, 0);
    this.context.trace?.({ track: 'slot', name: `submit copies of layer ${fill.layer}`, startMs, durationMs: performance.now() - startMs, layer: fill.layer, pass: fill.pass });
  }

  takeStats(): StreamStats {
    const copies = this.#copyClock?.take() ?? [];
    for (const { layer, startNs, endNs } of copies) this.#counter.of(layer).copyMs += Number(endNs - startNs) / 1e6;
    return this.#counter.take(copies);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.fail(new RankError(this.context.rank, 'the stream of experts was closed'));
    // A mapped range must outlive the read into it.
    if (this.#reading > 0) await new Promise<void>((resolve) => (this.#readsSettled = resolve));
    this.#pool.close();
    await this.#copyClock?.close();
    destroySlots(this.context, [...(this.firstSlot ? [this.firstSlot] : []), ...this.#slots.map((banks) => slotOf(-1, banks, this.plan.layout))]);
    for (const parts of this.ownParts.values()) for (const { buffer } of parts) destroyIn(this.context, buffer);
  }
}
