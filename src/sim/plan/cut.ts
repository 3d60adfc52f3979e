/**
 * Some of a model's layers that stand for all of them. The simulator's time grows with layers, and layers are alike; of a run of n layers n - 1 have
 * all rows and n - 1 MoE layers are gathered, so transfers and compute stand to each other as in the whole model.
 */
import type { ModelConfig } from '../../model/types.ts';
import { STRATEGY_KINDS, type SimStrategy } from '../run-shape.ts';
import type { PlanSetting } from './setting.ts';

/**
 * Where bytes are read ahead, what was there before the run counts for little only with many layers; where rows alone travel nothing is ahead, and steps are
 * many more.
 */
const LAYERS = { streaming: 32, exchanging: 5, offloaded: 14 } as const;

/** The model's last layers, since of DeepSeek's kind the first ones are dense. */
export function lastLayers(config: ModelConfig, layers: number): ModelConfig {
  const from = Math.max(0, config.numHiddenLayers - layers);
  const sliding = config.variant?.slidingWindow;
  const variant = config.variant && { ...config.variant, ...(sliding && { slidingWindow: { ...sliding, layers: sliding.layers.slice(from) } }) };
  return { ...config, numHiddenLayers: config.numHiddenLayers - from, layerIsMoe: config.layerIsMoe.slice(from), ...(variant && { variant }) };
}

/** What a strategy is simulated with: a pipeline's stages are parts of the whole model, and it takes few steps. */
export function cutFor({ config, offload }: Pick<PlanSetting, 'config' | 'offload'>, strategy: SimStrategy): ModelConfig {
  const kind = STRATEGY_KINDS[strategy];
  if (kind === 'pipeline') return config;
  return lastLayers(config, kind === 'exchanging' && offload > 0 ? LAYERS.offloaded + 2 * offload : LAYERS[kind] + 2 * offload);
}
