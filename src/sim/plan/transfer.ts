/**
 * t_EP and the threshold T (paper section 5), and how many tokens reach it.
 *
 *     gather     (P-1)/P x bytes of a layer's experts / link + latency
 *     host       1/P x bytes of a layer's experts / host link            with offload: each device brings its part in, both at once
 *     t_EP       the slower of the two
 *     T_layer    t_EP x F x gamma,   T_batch = MoE layers x T_layer
 *
 * A longer context has more FLOPs a token (attention to the tokens before it), so fewer tokens reach T.
 */
import { layerExpertBytes, prefillFlops } from '../../model/flops.ts';
import type { ModelConfig } from '../../model/types.ts';
import { gatherMs, saturationThreshold } from '../cost.ts';
import { moeLayersOf, ratesOf, type PlanSetting } from './setting.ts';

export interface TransferPlan {
  /** Bytes of all experts of a layer. */
  readonly layerBytes: number;
  readonly gatherMs: number;
  readonly hostMs: number;
  /** t_EP. */
  readonly transferMs: number;
  readonly slower: 'gather' | 'host link' | 'nothing travels';
  /** FLOPs, by the peak. */
  readonly layerThreshold: number;
  readonly batchThreshold: number;
  readonly reach: readonly Reach[];
}

/** Tokens of a batch of sequences of one length. */
export interface Reach {
  readonly contextTokens: number;
  readonly flopsPerToken: number;
  /** From so many tokens a batch has T_batch FLOPs. */
  readonly tokens: number;
  /** From so many its compute lasts as long as the transfers, at the rate that passes reach. */
  readonly hiddenTokens: number;
}

/** 512 to 128K, whatever the model was trained for. */
export const CONTEXTS: readonly number[] = Array.from({ length: 9 }, (_, power) => 512 * 2 ** power);

export function flopsPerToken(config: ModelConfig, contextTokens: number): number {
  return prefillFlops(config, { newTokens: contextTokens, candidates: 1 }, { lastLayerShortcut: true }) / contextTokens;
}

/** Milliseconds of the two transfers of a layer. */
export function transferTimes({ config, ranks, offload, ...setting }: PlanSetting): Pick<TransferPlan, 'layerBytes' | 'gatherMs' | 'hostMs' | 'transferMs' | 'slower'> {
  const { link, hostBytesPerSecond, weightBytes } = ratesOf(setting);
  const layerBytes = layerExpertBytes(config, weightBytes);
  const gather = gatherMs({ config, ranks, weightBytes, link });
  const hostMs = offload === 0 ? 0 : (layerBytes / ranks / hostBytesPerSecond) * 1000;
  const transferMs = Math.max(gather, hostMs);
  return { layerBytes, gatherMs: gather, hostMs, transferMs, slower: transferMs === 0 ? 'nothing travels' : hostMs > gather ? 'host link' : 'gather' };
}

export function planTransfer(setting: PlanSetting): TransferPlan {
  const { config, gamma } = setting;
  const { peakFlopsPerSecond, achievedFlopsPerSecond } = ratesOf(setting);
  const times = transferTimes(setting);
  const moeLayers = moeLayersOf(config);
  const batchThreshold = saturationThreshold(moeLayers, times.transferMs, peakFlopsPerSecond, gamma);
  const hidden = saturationThreshold(moeLayers, times.transferMs, achievedFlopsPerSecond, 1);
  return {
    ...times, batchThreshold, layerThreshold: batchThreshold / moeLayers,
    reach: CONTEXTS.map((contextTokens) => {
      const each = flopsPerToken(config, contextTokens);
      return { contextTokens, flopsPerToken: each, tokens: Math.ceil(batchThreshold / each), hiddenTokens: Math.ceil(hidden / each) };
    }),
  };
}
