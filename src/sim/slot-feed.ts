/**
 * When the bytes of layers that a device does not keep may come to it. Streamed layers are numbered by *position*, on and on over all passes, as in
 * the engine's stream of slots: those of the first positions were there when the run began, and those of a later one may come when the position
 * `lead` before it has been used. The engine's own numbers (strategy/offload.ts), for s slots and a depth d:
 *
 *     reads from peers      lead d + 1, d there before the run: bytes wait in host memory for a slot
 *     loads of own experts  lead s, min(d, s) there: bytes go into the slot itself
 */
import { checkOffload, aheadShape } from '../strategy/offload.ts';
import type { WorldShape } from './run-shape.ts';
import type { StepBuilder, StepPlace } from './steps.ts';

const DEFAULT_DEPTH = 2;

/** Layers that own experts are held ahead; 0: they are on the device. */
export const offloadLayers = ({ offload }: Pick<WorldShape, 'offload'>): number => offload?.layers ?? 0;

/** @throws InputError as a real run does: no whole number of layers, or a strategy that keeps all experts on the device */
export const checkShape = (shape: Pick<WorldShape, 'strategy' | 'offload'>): void =>
  checkOffload(shape.strategy, { settings: { offloadLayers: offloadLayers(shape) } });

interface FeedShape {
  readonly lead: number;
  readonly there: number;
}

/** Of both kinds of transfers under `asyncep`, and of the loads of a rank's own experts where rows travel. */
export function feedShapes(shape: Pick<WorldShape, 'depth' | 'offload'>, streamedLayers: readonly number[]): { readonly reads: FeedShape; readonly loads: FeedShape } {
  const settings = { depth: shape.depth ?? DEFAULT_DEPTH, offloadLayers: offloadLayers(shape) };
  const { slots, depth } = aheadShape({ settings }, { streamedLayers });
  return { reads: { lead: depth + 1, there: depth }, loads: { lead: slots, there: Math.min(depth, slots) } };
}

/** One kind of transfers of one rank: those of each position in order, some of them ahead of their use. */
export class SlotFeed {
  /** Positions whose transfers were added, or were there before the run. */
  #fetched: number;
  #used = 0;
  /** Transfers of positions that have not been asked for, the next one first. */
  readonly #ahead: (readonly number[])[] = [];
  /** Steps by which the use of the last positions is over: of position p at p modulo the lead. */
  readonly #uses: (readonly number[])[] = [];

  /** @param add adds the transfers of one position, after some steps */
  constructor(private readonly shape: FeedShape, private readonly add: (after: readonly number[], place: StepPlace) => readonly number[]) {
    this.#fetched = shape.there;
  }

  /**
   * What the next position's compute waits for; {@link used} is told before it is asked for the one after.
   * @param begin steps before which nobody knew of the pass: what was not fetched ahead comes after them
   */
  next(place: StepPlace, begin: readonly number[] = []): readonly number[] {
    if (this.#used < this.shape.there) return [];
    return this.#used < this.#fetched ? (this.#ahead.shift() as readonly number[]) : this.#fetch(place, begin);
  }

  #fetch(place: StepPlace, begin: readonly number[]): readonly number[] {
    const position = this.#fetched++;
    return this.add(position < this.shape.lead ? begin : [...begin, ...(this.#uses[position % this.shape.lead] as readonly number[])], place);
  }

  /** @param after steps by which the use of the position is over */
  used(after: readonly number[]): void {
    this.#uses[this.#used++ % this.shape.lead] = after;
  }

  /** For the pass (or round) after this one, as much as the one before left for this one. */
  ahead(placeOf: (position: number) => StepPlace): void {
    while (this.#fetched < this.#used + this.shape.there) this.#ahead.push(this.#fetch(placeOf(this.#fetched), []));
  }
}

/** Own experts of one rank that come from its host memory, where rows travel: each layer once for all passes of a round. */
export class OwnExperts {
  readonly #feed: SlotFeed;
  readonly #streamed: readonly number[];

  /** @param layers the MoE layers of the rank; the first stays on the device */
  constructor(steps: StepBuilder, shape: WorldShape, rank: number, layerBytes: number, [, ...streamed]: readonly number[]) {
    this.#streamed = streamed;
    this.#feed = new SlotFeed(feedShapes(shape, streamed).loads, (after, place) => [steps.load(rank, layerBytes, after, place)]);
  }

  /** What the layer waits for. @param begin as in {@link SlotFeed.next} */
  ready(place: StepPlace, begin: readonly number[] = []): readonly number[] {
    return this.#travels(place.layer) ? this.#feed.next(place, begin) : [];
  }

  /** All passes have been through the layer when these steps are over. */
  done(layer: number | null, after: readonly number[]): void {
    if (this.#travels(layer)) this.#feed.used(after);
  }

  /** @param pass the one after the last */
  ahead(pass: number): void {
    this.#feed.ahead((position) => ({ pass, layer: this.#streamed[position % this.#streamed.length] as number }));
  }

  #travels(layer: number | null): boolean {
    return layer !== null && this.#streamed.includes(layer);
  }
}
