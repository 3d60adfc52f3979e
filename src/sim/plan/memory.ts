/**
 * Memory of one device, part by part, under every strategy: weights from the dimensions, keys and values and workspace as the engine allocates
 * them (src/engine/workspace.ts; operands of attention in f32, its default). The fullest device counts.
 *
 * Upper bounds: a cache keeps all tokens of layers with a sliding window, too, and a layer of latent attention writes out values as wide as keys.
 * A lower bound: under `tp` and `tp-ep` latent attention's down-projections are counted as split by heads, and mail between devices is left out.
 */
import { kvBlocks } from '../../engine/kv-blocks.ts';
import { workspaceSizes, type Capacity } from '../../engine/workspace.ts';
import { attentionParameters, cachedNumbers } from '../../model/attention-cost.ts';
import { layerExpertBytes, rankWeightBytes } from '../../model/flops.ts';
import { splitHeads, splitWidth } from '../../model/shard.ts';
import type { ModelConfig } from '../../model/types.ts';
import { defaultPlan } from '../../runtime/plan.ts';
import { pipelineStages } from '../pipeline.ts';
import { BASELINES, STRATEGY_KINDS, type SimStrategy } from '../run-shape.ts';
import { moeLayersOf, ratesOf, type PlanSetting } from './setting.ts';

/** Share of the memory that a process can have: the driver and fragmentation need the rest. */
export const USABLE_MEMORY = 0.9;
/** The engine's chunks are of at most so many tokens. */
const CHUNK_TOKENS = 2048;
const KEY_VALUE_ELEMENT_BYTES = 4;
const PLAN = defaultPlan({ subgroupSize: 32 });

export interface DeviceMemory {
  /** Embedding, head, norms, attention, routers, dense and shared MLPs. */
  readonly shared: number;
  /** Complete experts of the first MoE layer. */
  readonly firstLayer: number;
  /** Own experts. */
  readonly shard: number;
  /** Room for complete layers. */
  readonly slots: number;
  /** Of the layer that computes, and of the cache. */
  readonly keysAndValues: number;
  readonly workspace: number;
}

export const totalBytes = (memory: DeviceMemory): number => Object.values(memory).reduce((sum: number, bytes: number) => sum + bytes, 0);
export const usableBytes = ({ hardware }: Pick<PlanSetting, 'hardware'>): number => USABLE_MEMORY * hardware.memoryBytes.value;

/** A batch of sequences of one length. */
export interface PlannedBatch {
  readonly tokens: number;
  readonly contextTokens: number;
}

type Weights = Pick<DeviceMemory, 'shared' | 'firstLayer' | 'shard' | 'slots'>;

const largest = (ranges: readonly { readonly count: number }[]): number => Math.max(...ranges.map(({ count }) => count));

/** Share of attention's weights with the device that has most heads; keys and values of a head that devices share are on each. */
function attentionShare(config: ModelConfig, ranks: number): number {
  const heads = splitHeads(config, ranks);
  const { numAttentionHeads, numKeyValueHeads } = config;
  return Math.max(...heads.map(({ query, keyValue }) => (query.count + keyValue.count) / (numAttentionHeads + numKeyValueHeads)));
}

function streamedWeights({ config, ranks, offload }: PlanSetting, strategy: SimStrategy, weightBytes: number): Weights {
  const bytes = rankWeightBytes(config, Math.ceil(config.numExperts / ranks), weightBytes);
  const streamed = moeLayersOf(config) - 1;
  const slots = strategy === 'sync' ? 1 : offload > 0 ? Math.min(offload, streamed) + 1 : 2;
  return { ...bytes, shard: offload > 0 ? 0 : bytes.shard, slots: streamed === 0 ? 0 : slots * layerExpertBytes(config, weightBytes) };
}

type ExpertWeights = Pick<Weights, 'firstLayer' | 'shard' | 'slots'>;

/** Own experts of some MoE layers where rows travel: all on the device, or with offload the first of them and the window's slots (src/strategy/memory.ts). */
function ownExperts(moeLayers: number, layerBytes: number, offload: number): ExpertWeights {
  if (offload === 0 || moeLayers === 0) return { firstLayer: 0, shard: moeLayers * layerBytes, slots: 0 };
  const streamed = moeLayers - 1;
  return { firstLayer: layerBytes, shard: 0, slots: streamed === 0 ? 0 : (Math.min(offload, streamed) + 1) * layerBytes };
}

const sumOf = ({ shared, firstLayer, shard, slots }: Weights): number => shared + firstLayer + shard + slots;

/** The fullest stage of a pipeline: its layers, and the embedding or the head. */
function stageWeights({ config, ranks, offload }: PlanSetting, weightBytes: number): Weights {
  const shared = rankWeightBytes(config, 0, weightBytes).shared;
  const ends = (config.tieWordEmbeddings ? 1 : 2) * config.vocabSize * config.hiddenSize * weightBytes;
  const perLayer = (shared - ends) / config.numHiddenLayers; // dense and MoE layers on average
  const stages = pipelineStages(config, ranks).map(({ first, count }, stage): Weights => {
    const moeLayers = config.layerIsMoe.slice(first, first + count).filter(Boolean).length;
    const end = ranks === 1 ? ends : stage === 0 || stage === ranks - 1 ? config.vocabSize * config.hiddenSize * weightBytes : 0;
    return { shared: count * perLayer + end, ...ownExperts(moeLayers, layerExpertBytes(config, weightBytes), offload) };
  });
  return stages.reduce((most, stage) => (sumOf(stage) > sumOf(most) ? stage : most));
}

/** @throws InputError where the model cannot be split so */
function weightsOf(setting: PlanSetting, strategy: SimStrategy): Weights {
  const { config, ranks, offload } = setting;
  const { weightBytes } = ratesOf(setting);
  if (strategy === 'asyncep' || strategy === 'sync') return streamedWeights(setting, strategy, weightBytes);
  if (strategy === 'pp') return stageWeights(setting, weightBytes);
  const { shared } = rankWeightBytes(config, 0, weightBytes);
  const attention = config.numHiddenLayers * attentionParameters(config) * weightBytes;
  const kept = strategy === 'tp' || strategy === 'tp-ep' ? shared - attention * (1 - attentionShare(config, ranks)) : shared;
  const shareOf: Readonly<Record<Exclude<SimStrategy, 'asyncep' | 'sync' | 'pp'>, () => number>> = {
    resident: () => 1,
    ep: () => Math.ceil(config.numExperts / ranks) / config.numExperts,
    'tp-ep': () => Math.ceil(config.numExperts / ranks) / config.numExperts,
    'dp-tp': () => largest(splitWidth(config, ranks)) / config.moeIntermediateSize,
    tp: () => largest(splitWidth(config, ranks)) / config.moeIntermediateSize,
  };
  return { shared: kept, ...ownExperts(moeLayersOf(config), shareOf[strategy]() * layerExpertBytes(config, weightBytes), strategy === 'resident' ? 0 : offload) };
}

function capacityOf({ tokens, contextTokens }: PlannedBatch, kv: PlanSetting['kv']): Capacity {
  const sequences = Math.max(1, Math.ceil(tokens / contextTokens));
  const lengths = Array.from({ length: sequences }, (_, i) => Math.max(1, Math.min(contextTokens, tokens - i * contextTokens)));
  const chunkTokens = Math.min(CHUNK_TOKENS, 64 * Math.ceil(tokens / 64));
  return { batchTokens: tokens, sequences, askedRows: sequences, candidates: 1, chunkTokens, blocks: kvBlocks(lengths, chunkTokens, kv) };
}

/** Passes that have a workspace each at the same time; they share the tokens of a batch. */
function passesAtOnce(strategy: SimStrategy, ranks: number): number {
  if (STRATEGY_KINDS[strategy] === 'streaming' || ranks === 1) return 1;
  return STRATEGY_KINDS[strategy] === 'pipeline' ? ranks + 1 : 2;
}

function activations({ config, kv, ranks, cacheTokens }: PlanSetting, strategy: SimStrategy, { tokens, contextTokens }: PlannedBatch): Pick<DeviceMemory, 'keysAndValues' | 'workspace'> {
  const passes = passesAtOnce(strategy, ranks);
  // A sequence is not cut: each pass has at least one whole.
  const each = Math.min(tokens, Math.max(Math.ceil(tokens / passes), contextTokens));
  const sizes = workspaceSizes(config, PLAN, capacityOf({ tokens: each, contextTokens }, kv));
  const layer = sizes.keys + sizes.values;
  const cache = kv === 'cache' ? cacheTokens * config.numHiddenLayers * cachedNumbers(config) * KEY_VALUE_ELEMENT_BYTES : 0;
  return { keysAndValues: passes * layer + cache, workspace: passes * (Object.values(sizes).reduce((sum, bytes) => sum + bytes, 0) - layer) };
}

/** @throws InputError where the model cannot be split so */
export const deviceMemory = (setting: PlanSetting, strategy: SimStrategy, batch: PlannedBatch): DeviceMemory =>
  ({ ...weightsOf(setting, strategy), ...activations(setting, strategy, batch) });

export const fits = (setting: PlanSetting, strategy: SimStrategy, batch: PlannedBatch): boolean =>
  totalBytes(deviceMemory(setting, strategy, batch)) <= usableBytes(setting);

/** Where the search for limits ends, tokens. */
export const MOST_TOKENS = 2 ** 22;
const STEP = 64;

/** The largest multiple of 64, up to 4M, for which a test holds that holds for all smaller ones; 0: none. */
function largestTokens(test: (tokens: number) => boolean): number {
  let [low, high] = [0, MOST_TOKENS / STEP + 1];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (test(middle * STEP)) low = middle;
    else high = middle;
  }
  return low * STEP;
}

/** Most tokens by memory alone (bindings of a device may allow less) of a batch of sequences of `contextTokens` (one shorter sequence where not even one fits whole). */
export const largestBatch = (setting: PlanSetting, strategy: SimStrategy, contextTokens: number): number =>
  largestTokens((tokens) => fits(setting, strategy, { tokens, contextTokens: Math.min(tokens, contextTokens) }));

/** Most tokens of one sequence in a batch of its own, by memory alone. */
export const longestContext = (setting: PlanSetting, strategy: SimStrategy): number =>
  largestTokens((tokens) => fits(setting, strategy, { tokens, contextTokens: tokens }));

/** Fewest devices that hold `batch` each; null: more than the machine has. */
export function fewestDevices(setting: PlanSetting, strategy: SimStrategy, batch: PlannedBatch): number | null {
  for (let ranks = BASELINES.includes(strategy) ? 2 : 1; ranks <= Math.min(setting.hardware.devices, setting.config.numExperts); ranks++) {
    if (strategy === 'tp' || strategy === 'tp-ep' ? ranks > setting.config.numAttentionHeads : strategy === 'pp' && ranks > setting.config.numHiddenLayers) break;
    if (fits({ ...setting, ranks }, strategy, batch)) return ranks;
  }
  return null;
}
