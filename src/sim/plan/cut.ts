/**
 * Some of a model's layers that stand for all of them. The simulator's time grows with layers, and layers are alike; of a run of n layers n - 1 have
 * all rows and n - 1 MoE layers are gathered, so transfers of weights and compute stand to each other as in the whole model.
 */
import type { ModelConfig } from '../../model/types.ts';
import { STRATEGY_KINDS, type SimStrategy } from '../run-shape.ts';
import type { PlanSetting } from './setting.ts';

/**
 * Where bytes are read ahead, what was there before the run counts for little only with many layers; where rows alone travel nothing is ahead, and steps are
 * many more. There the last layer is not like the others, and so runs of two lengths are compared: what one has more is whole layers.
 */
const LAYERS = { streaming: 32, exchanging: 5, offloaded: 10 } as const;
const SHORTER = 3;

/** The model's last layers, since of DeepSeek's kind the first ones are dense. */
export function lastLayers(config: ModelConfig, layers: number): ModelConfig {
  const from = Math.max(0, config.numHiddenLayers - layers);
  const sliding = config.variant?.slidingWindow;
  const variant = config.variant && { ...config.variant, ...(sliding && { slidingWindow: { ...sliding, layers: sliding.layers.slice(from) } }) };
  return { ...config, numHiddenLayers: config.numHiddenLayers - from, layerIsMoe: config.layerIsMoe.slice(from), ...(variant && { variant }) };
}

export interface Cut {
  readonly long: ModelConfig;
  /** What is taken off again; null: nothing. */
  readonly short: ModelConfig | null;
}

/** What a strategy is simulated with: a pipeline's stages are parts of the whole model, and it takes few steps. */
export function cutFor({ config, offload }: Pick<PlanSetting, 'config' | 'offload'>, strategy: SimStrategy): Cut {
  const kind = STRATEGY_KINDS[strategy];
  const layers = kind === 'pipeline' ? Infinity : kind === 'exchanging' && offload > 0 ? LAYERS.offloaded + 2 * offload : LAYERS[kind] + 2 * offload;
  if (layers >= config.numHiddenLayers) return { long: config, short: null };
  return { long: lastLayers(config, layers), short: kind === 'exchanging' ? lastLayers(config, layers - SHORTER) : null };
}
