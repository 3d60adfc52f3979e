/**
 * When the bytes of layers that a device does not keep may come to it. Streamed layers are numbered by *position*, on and on over all passes, as in
 * the engine's stream of slots: those of the first positions were there when the run began, and those of a later one may come when the position
 * `lead` before it has been used. The engine's own numbers (strategy/offload.ts), for s slots and a depth d:
 *
 *     reads from peers      lead d + 1, d there before the run: bytes wait in host memory for a slot
 *     loads of own experts  lead s, min(d, s) there: bytes go into the slot itself
 */
import { checkOffload, aheadShape } from '../strategy/offload.ts';
import type { RunShape } from './run-shape.ts';
import type { StepBuilder, StepPlace } from './steps.ts';

const DEFAULT_DEPTH = 2;

/** Layers that own experts are held ahead; 0: they are on the device. */
export const offloadLayers = ({ offload }: Pick<RunShape, 'offload'>): number => offload?.layers ?? 0;

/** @throws InputError as a real run does: no whole number of layers, or a strategy that keeps all experts on the device */
export const checkShape = (shape: Pick<RunShape, 'strategy' | 'offload'>): void =>
  checkOffload(shape.strategy, { settings: { offloadLayers: offloadLayers(shape) } });

interface FeedShape {
  readonly lead: number;
  readonly there: number;
}

/** Of both kinds of transfers under `asyncep`, and of the loads of a rank's own experts where rows travel. */
export function feedShapes(shape: Pick<RunShape, 'depth' | 'offload'>, streamedLayers: readonly number[]): { readonly reads: FeedShape; readonly loads: FeedShape } {
  const settings = { depth: shape.depth ?? DEFAULT_DEPTH, offloadLayers: offloadLayers(shape) };
  const { slots, depth } = aheadShape({ settings }, { streamedLayers });
  return { reads: { lead: depth + 1, there: depth }, loads: { lead: slots, there: Math.min(depth, slots) } };
}

/** Steps by which the last use of each position is over, in order. */
export type Uses = readonly (readonly number[])[];

/** One kind of transfers of one rank. */
export class SlotFeed {
  #position = 0;

  /** @param add adds the transfers of one position, after some steps */
  constructor(private readonly shape: FeedShape, private readonly add: (after: readonly number[], place: StepPlace) => number[]) {}

  /** What the next position's compute waits for. */
  next(uses: Uses, place: StepPlace): number[] {
    return this.#position < this.shape.there ? this.#skip() : this.#fetch(uses, place);
  }

  #skip(): number[] {
    this.#position++;
    return [];
  }

  #fetch(uses: Uses, place: StepPlace): number[] {
    return this.add(uses[this.#position++ - this.shape.lead] ?? [], place);
  }

  /** For the run after this one, as much as the run before left for this one. */
  ahead(uses: Uses, placeOf: (position: number) => StepPlace): void {
    const last = this.#position + Math.min(this.shape.there, uses.length);
    while (this.#position < last) this.#fetch(uses, placeOf(this.#position));
  }
}

/** Own experts of one rank that come from its host memory, where rows travel: each layer once for all passes of a round. */
export class OwnExperts {
  readonly #feed: SlotFeed;
  readonly #uses: number[][] = [];

  /** @param layers the MoE layers of the rank; the first stays on the device */
  constructor(steps: StepBuilder, shape: RunShape, rank: number, layerBytes: number, private readonly layers: readonly number[]) {
    this.#feed = new SlotFeed(feedShapes(shape, layers.slice(1)).loads, (after, place) => [steps.load(rank, layerBytes, after, place)]);
  }

  #travels(layer: number | null): boolean {
    return layer !== null && this.layers.indexOf(layer) > 0;
  }

  /** What the layer waits for. */
  ready(place: StepPlace): number[] {
    return this.#travels(place.layer) ? this.#feed.next(this.#uses, place) : [];
  }

  /** All passes have been through the layer when these steps are over. */
  done(layer: number | null, after: readonly number[]): void {
    if (this.#travels(layer)) this.#uses.push([...after]);
  }

  /** @param pass the one after the last */
  ahead(pass: number): void {
    const streamed = this.layers.slice(1);
    this.#feed.ahead(this.#uses, (position) => ({ pass, layer: streamed[position % streamed.length] as number }));
  }
}
