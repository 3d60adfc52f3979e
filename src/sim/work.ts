/** FLOPs of a pass, layer by layer: the sums over its sequences. */
import { layerFlops, type FlopsByPart } from '../model/flops.ts';
import type { ModelConfig } from '../model/types.ts';

/** Lengths of sequences that run together. */
export type Sequences = readonly number[];

type LayerParts = Omit<FlopsByPart, 'head'>;

const NO_WORK: LayerParts = { projections: 0, attention: 0, router: 0, experts: 0, dense: 0 };

/** a + times b. */
const addTimes = (a: LayerParts, b: LayerParts, times: number): LayerParts => ({
  projections: a.projections + times * b.projections, attention: a.attention + times * b.attention, router: a.router + times * b.router,
  experts: a.experts + times * b.experts, dense: a.dense + times * b.dense,
});

export const totalOf = (parts: LayerParts): number => parts.projections + parts.attention + parts.router + parts.experts + parts.dense;

/** More tokens than a sequence has. */
const CACHED = 2 ** 26;

/** Sequences on one device (or on all together), as work. The last layer has the engine's shortcut. */
export class Work {
  readonly tokens: number;
  readonly #byLayer: LayerParts[] = [];
  readonly #byKind = new Map<string, LayerParts>();
  /** How many sequences have a length and as many cached tokens: workloads have many of few. */
  readonly #counts = new Map<number, { readonly newTokens: number; readonly cachedTokens: number; count: number }>();

  /**
   * @param sequences tokens of each to compute
   * @param cached tokens before these that are in a cache; none by default
   */
  constructor(readonly config: ModelConfig, readonly sequences: Sequences, cached?: Sequences) {
    let tokens = 0;
    for (const [index, newTokens] of sequences.entries()) {
      tokens += newTokens;
      const cachedTokens = cached?.[index] ?? 0;
      const key = newTokens + CACHED * cachedTokens;
      const known = this.#counts.get(key);
      if (known === undefined) this.#counts.set(key, { newTokens, cachedTokens, count: 1 });
      else known.count++;
    }
    this.tokens = tokens;
  }

  isLast(layer: number): boolean {
    return layer === this.config.numHiddenLayers - 1;
  }

  /** Rows that leave `layer`: every token's, and of the last layer each sequence's last one. */
  rows(layer: number): number {
    return this.isLast(layer) ? this.sequences.length : this.tokens;
  }

  flops(layer: number): LayerParts {
    return (this.#byLayer[layer] ??= this.#flopsOf(layer));
  }

  #flopsOf(layer: number): LayerParts {
    const last = this.isLast(layer);
    const kind = `${this.config.layerIsMoe[layer]} ${last} ${this.config.variant?.slidingWindow?.layers[layer]}`; // layers of a kind cost the same
    const known = this.#byKind.get(kind);
    if (known !== undefined) return known;
    let sum = NO_WORK;
    for (const { count, ...sequence } of this.#counts.values()) sum = addTimes(sum, layerFlops(this.config, layer, sequence, last), count);
    this.#byKind.set(kind, sum);
    return sum;
  }

  /** FLOPs of keys and values alone. */
  keyValueFlops(): number {
    const { hiddenSize, numKeyValueHeads, headDim } = this.config;
    return 4 * this.tokens * hiddenSize * numKeyValueHeads * headDim;
  }

  headFlops(candidates: number): number {
    return 2 * this.config.hiddenSize * candidates * this.sequences.length;
  }

  /** All layers and the head. */
  allFlops(candidates: number): number {
    return this.config.layerIsMoe.reduce((sum, _, layer) => sum + totalOf(this.flops(layer)), this.headFlops(candidates));
  }
}
