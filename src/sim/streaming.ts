/**
 * `asyncep`, `sync` and `resident`: each rank runs its own passes from end to end, and experts come by weight.
 *
 * Streamed layers (every MoE layer but the first) are numbered on and on over all passes of a rank. AsyncEP reads layer p from the peers
 * as soon as layer p - 1 - depth has been computed: its slot is free by then, and the reads run beside the layers between. The first
 * `depth` layers of a run were read when the run before ended, and so does this one read for the next; a run's bytes are complete, but
 * nobody waits for the last of them. `sync` reads when the layer before has been computed, and computes when all is there.
 *
 * With offload the own part of a layer comes from host memory, beside what comes from the peers: a layer's bytes take as long as the slower of both
 * (paper section 2, mode 3), and a world of one streams everything (mode 1).
 */
import { partitionExperts } from '../collective/partition.ts';
import { expertWeightBytes } from '../model/flops.ts';
import { batchesOf, takenInTurn } from './passes.ts';
import type { RunShape } from './run-shape.ts';
import type { StepBuilder, StepPlace } from './steps.ts';
import { feedShapes, offloadLayers, SlotFeed } from './slot-feed.ts';
import { totalOf, Work } from './work.ts';

/** Bytes that a rank reads of each peer's shard, of one layer; nothing of its own. */
export function gatherBytes({ config, ranks, weightBytes }: Pick<RunShape, 'config' | 'ranks' | 'weightBytes'>, rank: number): number[] {
  const expert = expertWeightBytes(config, weightBytes);
  return partitionExperts(config.numExperts, ranks).map(({ count }, peer) => (peer === rank ? 0 : count * expert));
}

/** Bytes of the own shard, of one layer, that come from host memory. */
function loadBytes(shape: RunShape, rank: number): number {
  if (offloadLayers(shape) === 0) return 0;
  const { config, ranks, weightBytes } = shape;
  return (partitionExperts(config.numExperts, ranks)[rank]?.count ?? 0) * expertWeightBytes(config, weightBytes);
}

/** One rank's way through its passes. */
class RankStream {
  #last: number[] = [];
  /** The compute of each streamed layer so far. */
  readonly #computed: number[][] = [];
  readonly #streamed: readonly number[];
  /** Of one layer, from each peer and from host memory. */
  readonly #readBytes: readonly number[];
  readonly #loadBytes: number;
  readonly #readsNothing: boolean;
  readonly #reads: SlotFeed;
  readonly #loads: SlotFeed;

  constructor(private readonly steps: StepBuilder, private readonly shape: RunShape, private readonly rank: number) {
    [this.#readBytes, this.#loadBytes] = [gatherBytes(shape, rank), loadBytes(shape, rank)];
    this.#readsNothing = this.#readBytes.every((bytes) => bytes === 0);
    const [, ...streamed] = shape.config.layerIsMoe.flatMap((isMoe, layer) => (isMoe ? [layer] : []));
    const moves = shape.strategy !== 'resident' && (shape.ranks > 1 || offloadLayers(shape) > 0);
    this.#streamed = moves ? streamed : [];
    const { reads, loads } = feedShapes(shape, streamed);
    this.#reads = new SlotFeed(reads, (after, place) => this.#read(after, place));
    this.#loads = new SlotFeed(loads, (after, place) => this.#load(after, place));
  }

  #read(after: readonly number[], place: StepPlace): number[] {
    return this.#readsNothing ? [] : [this.steps.gather(this.rank, this.#readBytes, after, place)];
  }

  #load(after: readonly number[], place: StepPlace): number[] {
    return this.#loadBytes === 0 ? [] : [this.steps.load(this.rank, this.#loadBytes, after, place)];
  }

  /** What the compute of the next streamed layer waits for. */
  #gather(place: StepPlace): number[] {
    if (this.shape.strategy === 'sync') return [...this.#read(this.#last, place), ...this.#load(this.#last, place)];
    return [...this.#reads.next(this.#computed, place), ...this.#loads.next(this.#computed, place)];
  }

  /** @param head FLOPs of the head behind it */
  layer(pass: number, layer: number, flops: number, head: number): void {
    const place = { pass, layer };
    const streamed = this.#streamed.includes(layer);
    const gathered = streamed ? this.#gather(place) : [];
    const parts = head === 0 ? undefined : [{ layer, flops }, { layer: null, flops: head }];
    const done = this.steps.compute(this.rank, flops + head, [...this.#last, ...gathered], { ...place, ...(parts && { parts }) });
    if (streamed) this.#computed.push([done]);
    this.#last = [done];
  }

  /** AsyncEP's transfers for the run after this one. @param pass the first one of that */
  readAhead(pass: number): void {
    if (this.shape.strategy !== 'asyncep') return;
    const placeOf = (position: number): StepPlace => ({ pass, layer: this.#streamed[position % this.#streamed.length] as number });
    for (const feed of [this.#reads, this.#loads]) feed.ahead(this.#computed, placeOf);
  }
}

/** Adds all steps of the run. */
export function addStreaming(steps: StepBuilder, shape: RunShape): void {
  const { config, ranks, candidates } = shape;
  const costMs = (work: Work, rank: number): number => work.allFlops(candidates) / (steps.rates.flopsPerSecond[rank] as number);
  const taken = takenInTurn(batchesOf(shape), ranks, (batch, rank) => costMs(new Work(config, batch), rank));
  const last = config.numHiddenLayers - 1;
  for (const [rank, batches] of taken.entries()) {
    const stream = new RankStream(steps, shape, rank);
    for (const [pass, batch] of batches.entries()) {
      const work = new Work(config, batch);
      for (let layer = 0; layer <= last; layer++) {
        stream.layer(pass, layer, totalOf(work.flops(layer)), layer === last ? work.headFlops(candidates) : 0);
      }
    }
    stream.readAhead(batches.length);
  }
}
