/**
 * The seam between ranks: a transport publishes this rank's experts and opens those of a peer. It moves bytes between
 * `Uint8Array`s it is handed (a mapped staging range is one) and knows neither device nor model.
 */
import type { ExpertRange } from './partition.ts';

/** What all shards of one run agree on. */
export interface ShardGeometry {
  /** Names the weights; see `ModelWeights.modelHash`. */
  readonly modelHash: string;
  /** Element type of the stream, as the kernels unpack it ("f32", "f16", "bf16"). */
  readonly dtype: string;
  readonly world: number;
  /** Experts of one MoE layer, over all ranks. */
  readonly numExperts: number;
  /** Bytes from one expert to the next: a packed expert padded with zeros to a multiple of 256. */
  readonly expertBytes: number;
  /** The MoE layers, ascending. */
  readonly layers: readonly number[];
}

/** Packed bytes of one expert, at most `expertBytes`; called once for each owned expert, in order. */
export type PackExpert = (layer: number, expert: number) => Promise<Uint8Array>;

/** One rank's experts, readable by any rank. */
export interface ShardReader {
  readonly rank: number;
  /** The experts that this rank owns, in every layer. */
  readonly range: ExpertRange;
  /**
   * Reads `count` experts of `layer` from `first` on, `expertBytes` each, back to back into `into`.
   * Each expert's checksum is verified the first time it is read.
   * @throws SegmentError naming the layer and expert that is damaged
   */
  read(layer: number, first: number, count: number, into: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

export interface Transport {
  readonly rank: number;
  /** Makes this rank's shard readable by its peers and returns the address they open. */
  publish(geometry: ShardGeometry, pack: PackExpert): Promise<string>;
  /** Opens a peer's shard (or this rank's own). @throws SegmentError when it is not the shard that was expected */
  open(peer: number, address: string, geometry: ShardGeometry): Promise<ShardReader>;
  /** Takes the published shard back; readers that are open may still finish. */
  close(): Promise<void>;
}

export const EXPERT_ALIGNMENT = 256;

/** Bytes from one packed expert to the next. */
export const alignExpert = (bytes: number): number => Math.ceil(bytes / EXPERT_ALIGNMENT) * EXPERT_ALIGNMENT;
