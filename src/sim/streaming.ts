/**
 * `asyncep`, `sync` and `resident`: each rank runs its own passes from end to end, and experts come by weight.
 *
 * Streamed layers (every MoE layer but the first) are numbered on and on over all passes of a rank. AsyncEP reads layer p from the peers
 * as soon as layer p - 1 - depth has been computed: its slot is free by then, and the reads run beside the layers between. The first
 * `depth` layers of a run were read when the run before ended, and so does this one read for the next; a run's bytes are complete, but
 * nobody waits for the last of them. `sync` reads when the layer before has been computed, and computes when all is there.
 */
import { partitionExperts } from '../collective/partition.ts';
import { expertWeightBytes } from '../model/flops.ts';
import { batchesOf, takenInTurn } from './passes.ts';
import type { RunShape } from './run-shape.ts';
import type { Steps, StepPlace } from './schedule.ts';
import { totalOf, Work } from './work.ts';

const DEFAULT_DEPTH = 2;

/** Bytes that a rank reads of each peer's shard, of one layer; nothing of its own. */
export function gatherBytes({ config, ranks, weightBytes }: Pick<RunShape, 'config' | 'ranks' | 'weightBytes'>, rank: number): number[] {
  const expert = expertWeightBytes(config, weightBytes);
  return partitionExperts(config.numExperts, ranks).map(({ count }, peer) => (peer === rank ? 0 : count * expert));
}

/** One rank's way through its passes. */
class RankStream {
  #position = 0;
  #last: number[] = [];
  /** The compute of each streamed layer so far. */
  readonly #computed: number[] = [];
  readonly #bytes: readonly number[];
  readonly #firstMoe: number;

  constructor(private readonly steps: Steps, private readonly shape: RunShape, private readonly rank: number) {
    this.#bytes = gatherBytes(shape, rank);
    this.#firstMoe = shape.config.layerIsMoe.indexOf(true);
  }

  get #depth(): number {
    return this.shape.depth ?? DEFAULT_DEPTH;
  }

  isStreamed(layer: number): boolean {
    return this.shape.strategy !== 'resident' && this.shape.ranks > 1 && this.shape.config.layerIsMoe[layer] === true && layer !== this.#firstMoe;
  }

  #read(after: readonly number[], place: StepPlace): number[] {
    return this.#bytes.flatMap((bytes, peer) => (bytes === 0 ? [] : [this.steps.read(peer, this.rank, bytes, after, place)]));
  }

  /** What the compute of the next streamed layer waits for. */
  #gather(place: StepPlace): number[] {
    const position = this.#position++;
    if (this.shape.strategy === 'sync') return this.#read(this.#last, place);
    if (position < this.#depth) return [];
    return this.#read(this.#freedBy(position), place);
  }

  #freedBy(position: number): number[] {
    const layer = this.#computed[position - 1 - this.#depth];
    return layer === undefined ? [] : [layer];
  }

  layer(flops: number, place: StepPlace): void {
    const streamed = this.isStreamed(place.layer);
    const gathered = streamed ? this.#gather(place) : [];
    const done = this.steps.compute(this.rank, flops, [...this.#last, ...gathered], place);
    if (streamed) this.#computed.push(done);
    this.#last = [done];
  }

  /** AsyncEP's reads for the run after this one. */
  readAhead(place: StepPlace): void {
    if (this.shape.strategy !== 'asyncep') return;
    for (let ahead = 0; ahead < Math.min(this.#depth, this.#computed.length); ahead++) this.#read(this.#freedBy(this.#position++), place);
  }
}

/** Adds all steps of the run. */
export function addStreaming(steps: Steps, shape: RunShape): void {
  const { config, ranks, candidates } = shape;
  const costMs = (work: Work, rank: number): number => work.allFlops(candidates) / (steps.rates.flopsPerSecond[rank] as number);
  const taken = takenInTurn(batchesOf(shape), ranks, (batch, rank) => costMs(new Work(config, batch), rank));
  const last = config.numHiddenLayers - 1;
  for (const [rank, batches] of taken.entries()) {
    const stream = new RankStream(steps, shape, rank);
    for (const [pass, batch] of batches.entries()) {
      const work = new Work(config, batch);
      for (let layer = 0; layer <= last; layer++) {
        stream.layer(totalOf(work.flops(layer)) + (layer === last ? work.headFlops(candidates) : 0), { pass, layer });
      }
    }
    stream.readAhead({ pass: batches.length, layer: 0 });
  }
}
