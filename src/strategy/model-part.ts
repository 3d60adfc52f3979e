/** What a rank holds of the model, where rows travel instead of weights; one file a strategy says which part. */
import type { AttentionSplit, ExpertSplit } from '../engine/split/shape.ts';
import type { IndexRange } from '../model/shard.ts';
import type { ModelConfig, ModelWeights } from '../model/types.ts';

/** A rank's part of the model. */
export interface ModelPart {
  /** The part as a model: some heads, some columns of the experts, some layers. */
  view(weights: ModelWeights): ModelWeights;
  /** Experts of each rank, where they are split by index; else every rank has (its columns of) all. */
  readonly owned?: readonly IndexRange[];
  /** The model's layer that is the part's first; 0 when not given. */
  readonly firstLayer?: number;
}

/** All ranks compute a batch together, layer by layer. */
export interface SplitStrategy {
  readonly kind: 'split';
  readonly attention: AttentionSplit;
  readonly experts: ExpertSplit;
  /** @throws InputError when the model cannot be split over so many ranks */
  part(config: ModelConfig, rank: number, world: number): ModelPart;
}

/** Each rank computes some layers of every batch. */
export interface StageStrategy {
  readonly kind: 'stages';
  /** @throws InputError when there are fewer layers than ranks */
  part(config: ModelConfig, rank: number, world: number): ModelPart;
}

export type RowStrategyDefinition = SplitStrategy | StageStrategy;

/** The part as a model. */
export const wholeModel = (weights: ModelWeights): ModelWeights => weights;
