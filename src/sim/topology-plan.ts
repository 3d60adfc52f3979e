/**
 * What an arrangement of ranks comes to before anything is run: t_EP, the threshold, memory of a device.
 *
 *     gather   by the arrangement (topology-gather.ts)
 *     host     1/W x bytes of a layer's experts / host link: with --offload every device brings its shard in, at the same time as the gather
 *     t_EP     the slower of the two
 *     T        MoE layers x t_EP x F x gamma, as on one machine
 */
import { layerExpertBytes, rankWeightBytes } from '../model/flops.ts';
import { saturationThreshold } from './cost.ts';
import { deviceMemory, totalBytes, usableBytes, type DeviceMemory, type PlannedBatch } from './plan/memory.ts';
import { moeLayersOf, ratesOf, type PlanSetting } from './plan/setting.ts';
import { flopsPerToken } from './plan/transfer.ts';
import { topologyGatherMs, worldSize, type Arrangement, type Nodes } from './topology.ts';

/** Pieces in which a shard travels: the most that a frame of our ring carries (src/collective/websocket/frame.ts). */
export const PIECE_BYTES = 2 ** 20;

/** The model, the device and the flags; how many ranks there are says the arrangement. */
export type TopologySetting = Omit<PlanSetting, 'ranks' | 'kv' | 'cacheTokens'>;

export interface TopologyPlan {
  readonly gatherMs: number;
  /** 0 without offload. */
  readonly hostMs: number;
  /** t_EP. */
  readonly transferMs: number;
  /** T_batch by the peak, FLOPs. */
  readonly threshold: number;
  /** Tokens of a batch that has T FLOPs, and of one whose compute lasts as long as the transfers at the rate that passes reach. */
  readonly thresholdTokens: number;
  readonly hiddenTokens: number;
  readonly memory: DeviceMemory;
  readonly memoryBytes: number;
  /** Tokens whose keys and values (16 bits, all layers) fit into what is left of the device; below 0: so many too few. */
  readonly roomTokens: number;
}

/** Keys and values of prefix caches are kept in 16 bits. */
const CACHE_ELEMENT_BYTES = 2;

/**
 * Memory of a device, part by part, without a prefix cache. With offload the device holds no shard, and slots for the layers ahead (plan/memory.ts).
 * The shard is cut by bytes: 1/W of the experts also where that is less than one.
 */
function memoryOf(setting: TopologySetting, world: number, batch: PlannedBatch): DeviceMemory {
  const { config, offload } = setting;
  const memory = deviceMemory({ ...setting, ranks: Math.min(world, config.numExperts), kv: 'layer', cacheTokens: 0 }, 'asyncep', batch);
  return offload > 0 ? memory : { ...memory, shard: rankWeightBytes(config, config.numExperts / world, ratesOf(setting).weightBytes).shard };
}

/**
 * @param batch the largest one, for the memory of activations; T's tokens are of prompts as long as its contexts
 * @throws InputError where ranks do not fill nodes, or worlds
 */
export function planTopology(setting: TopologySetting, arrangement: Arrangement, nodes: Nodes, batch: PlannedBatch): TopologyPlan {
  const { config, gamma, offload } = setting;
  const { weightBytes, hostBytesPerSecond, peakFlopsPerSecond, achievedFlopsPerSecond } = ratesOf(setting);
  const world = worldSize(arrangement);
  const layerBytes = layerExpertBytes(config, weightBytes);
  const gatherMs = topologyGatherMs(arrangement, nodes, layerBytes, PIECE_BYTES);
  const hostMs = offload === 0 ? 0 : (layerBytes / world / hostBytesPerSecond) * 1000;
  const transferMs = Math.max(gatherMs, hostMs);
  const threshold = saturationThreshold(moeLayersOf(config), transferMs, peakFlopsPerSecond, gamma);
  const hidden = saturationThreshold(moeLayersOf(config), transferMs, achievedFlopsPerSecond, 1);
  const each = flopsPerToken(config, batch.contextTokens);
  const memory = memoryOf(setting, world, batch);
  const tokenBytes = 2 * config.numHiddenLayers * config.numKeyValueHeads * config.headDim * CACHE_ELEMENT_BYTES;
  return {
    gatherMs, hostMs, transferMs, threshold, thresholdTokens: Math.ceil(threshold / each), hiddenTokens: Math.ceil(hidden / each),
    memory, memoryBytes: totalBytes(memory), roomTokens: Math.floor((usableBytes(setting) - totalBytes(memory)) / tokenBytes),
  };
}
