/**
 * `asyncep`, `sync` and `resident`: each rank runs its own passes from end to end, and experts come by weight.
 *
 * Streamed layers (every MoE layer but the first) are numbered on and on over all passes of a rank. AsyncEP reads layer p from the peers
 * as soon as layer p - 1 - depth has been computed: its slot is free by then, and the reads run beside the layers between. The first
 * `depth` layers of a pass are read when the pass before ends, whether or not it is there yet; those of the first one were read by the run before, so
 * that a run's bytes are complete, but nobody waits for the last of them. `sync` reads when the layer before has been computed, and computes when all is there.
 *
 * With offload the own part of a layer comes from host memory, beside what comes from the peers: a layer's bytes take as long as the slower of both
 * (paper section 2, mode 3), and a world of one streams everything (mode 1).
 */
import { expertWeightBytes } from '../model/flops.ts';
import type { Extra } from './overheads.ts';
import { batchesOf, takenInTurn } from './passes.ts';
import type { RunShape, WorldShape } from './run-shape.ts';
import type { Gather, StepBuilder, StepPlace } from './steps.ts';
import { ownedExperts } from './shards.ts';
import { feedShapes, offloadLayers, SlotFeed } from './slot-feed.ts';
import { totalOf, Work } from './work.ts';

/** What a rank reads of one layer: the others' shards. */
function readOf({ config, ranks, weightBytes }: WorldShape, rank: number): Gather {
  const shards = ownedExperts(config.numExperts, ranks).map((count) => count * expertWeightBytes(config, weightBytes));
  return { shards, bytes: shards.reduce((sum, bytes, peer) => (peer === rank ? sum : sum + bytes), 0) };
}

/** Bytes of the own shard, of one layer, that come from host memory. */
const loadBytes = (shape: WorldShape, { shards }: Gather, rank: number): number => (offloadLayers(shape) === 0 ? 0 : (shards[rank] as number));

const ONE_LAYER: Extra = { layers: 1 };

/** A few are enough to hide the work of adding them; all layers of two passes on a thousand ranks would be the simulation's memory, and slow for that. */
const LAYERS_AT_ONCE = 16;

interface NewPass {
  readonly work: Work;
  readonly added: (last: number) => void;
}

/** One rank's way through its passes, which are added one after another, when each is there. */
export class RankStream {
  /** The last compute. */
  #last: number[] = [];
  /** Whose layers were all added. */
  #passes = 0;
  readonly #waiting: NewPass[] = [];
  /** Of the first that waits. */
  #nextLayer = 0;
  /** More layers are added when some step is over. */
  #comesBack = false;
  /** Layers before which those after them have to be there: transfers of these may begin. */
  readonly #margin: number;
  readonly #streamed: readonly number[];
  /** Of one layer, from peers and from host memory. */
  readonly #read: Gather;
  readonly #loadBytes: number;
  readonly #readsNothing: boolean;
  /** Peers' bytes are copied to host memory, and all of the layer to its slot. */
  readonly #streamedLayer: Extra;
  /** Of `asyncep`. */
  readonly #reads: SlotFeed;
  readonly #loads: SlotFeed;

  constructor(private readonly steps: StepBuilder, private readonly shape: WorldShape, private readonly rank: number) {
    this.#read = readOf(shape, rank);
    this.#loadBytes = loadBytes(shape, this.#read, rank);
    this.#readsNothing = shape.gatherMs === undefined && this.#read.bytes === 0;
    const besideCompute = shape.strategy === 'sync' ? 0 : this.#read.bytes; // under `sync` peers' bytes come while nothing computes
    this.#streamedLayer = { layers: 1, copiedBytes: besideCompute + this.#read.shards.reduce((sum, bytes) => sum + bytes, 0) };
    const [, ...streamed] = shape.config.layerIsMoe.flatMap((isMoe, layer) => (isMoe ? [layer] : []));
    const moves = shape.strategy !== 'resident' && (!this.#readsNothing || this.#loadBytes > 0);
    this.#streamed = moves ? streamed : [];
    const { reads, loads } = feedShapes(shape, streamed);
    this.#margin = Math.max(reads.lead, loads.lead) + 2;
    this.#reads = new SlotFeed(reads, (after, place) => this.#readPeers(after, place));
    this.#loads = new SlotFeed(loads, (after, place) => this.#load(after, place));
  }

  /** Adds a pass behind those before. @param added told its last step as soon as that is added */
  pass(work: Work, added: (last: number) => void = () => undefined): void {
    this.#waiting.push({ work, added });
    if (!this.#comesBack) this.#addLayers();
  }

  /** Some layers, and the next ones when few of them are left: so that not all layers of all passes wait at the same time. */
  #addLayers(): void {
    this.#comesBack = false;
    const layers = Math.max(LAYERS_AT_ONCE, 2 * this.#margin);
    let turn: number | null = null;
    for (let left = layers; left > 0 && this.#waiting.length > 0; left--) {
      this.#addLayer();
      if (left === this.#margin) [turn] = this.#last as [number];
    }
    if (turn === null) return;
    this.#comesBack = true;
    this.steps.later(turn, () => this.#addLayers());
  }

  #addLayer(): void {
    const { config: { numHiddenLayers }, candidates, strategy } = this.shape;
    const { work, added } = this.#waiting[0] as NewPass;
    const layer = this.#nextLayer++;
    this.#layer({ pass: this.#passes, layer }, totalOf(work.flops(layer)), work.isLast(layer) ? work.headFlops(candidates) : 0);
    if (this.#nextLayer < numHiddenLayers) return;
    this.#waiting.shift();
    this.#nextLayer = 0;
    this.#passes++;
    if (strategy === 'asyncep' && this.#streamed.length > 0) this.#readAhead();
    added(this.#last[0] as number);
  }

  #readPeers(after: readonly number[], place: StepPlace): readonly number[] {
    return this.#readsNothing ? [] : [this.steps.gather(this.rank, this.#read, after, place)];
  }

  #load(after: readonly number[], place: StepPlace): readonly number[] {
    return this.#loadBytes === 0 ? [] : [this.steps.load(this.rank, this.#loadBytes, after, place)];
  }

  /** @param head FLOPs of the head behind it */
  #layer(place: StepPlace, flops: number, head: number): void {
    const whole = head === 0 ? place : { ...place, parts: [{ layer: place.layer, flops }, { layer: null, flops: head }] };
    if (!this.#streamed.includes(place.layer as number)) {
      this.#last = [this.steps.compute(this.rank, flops + head, this.#last, whole, ONE_LAYER)];
      return;
    }
    const after = [...this.#last, ...this.#gather(place)];
    this.#last = [this.steps.compute(this.rank, flops + head, after, whole, this.#streamedLayer)];
    this.#reads.used(this.#last);
    this.#loads.used(this.#last);
  }

  /** What the compute of the next streamed layer waits for. */
  #gather(place: StepPlace): number[] {
    if (this.shape.strategy === 'sync') return [...this.#readPeers(this.#last, place), ...this.#load(this.#last, place)];
    return [...this.#reads.next(place), ...this.#loads.next(place)];
  }

  /** For the pass after the last, whether or not it comes. */
  #readAhead(): void {
    const placeOf = (position: number): StepPlace => ({ pass: this.#passes, layer: this.#streamed[position % this.#streamed.length] as number });
    for (const feed of [this.#reads, this.#loads]) feed.ahead(placeOf);
  }
}

/** Adds all steps of the run. */
export function addStreaming(steps: StepBuilder, shape: RunShape): void {
  const { config, ranks, candidates } = shape;
  const costMs = (work: Work, rank: number): number => work.allFlops(candidates) / (steps.rates.flopsPerSecond[rank] as number);
  const taken = takenInTurn(batchesOf(shape), ranks, (batch, rank) => costMs(new Work(config, batch), rank));
  for (const [rank, batches] of taken.entries()) {
    const stream = new RankStream(steps, shape, rank);
    for (const batch of batches) stream.pass(new Work(config, batch));
  }
}
