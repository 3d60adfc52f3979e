/**
 * The machine that simulated ranks are: what a gather and a FLOP cost, and what memory leaves for keys and values.
 *
 *     gather    t_EP = (P-1)/P x bytes of a layer's experts / link                       (0 for one rank that holds all experts)
 *     offload   t_EP = max(gather, 1/P x bytes of a layer's experts / host link)         where own experts do not fit beside keys and values
 *     compute   FLOPs / (MFU x peak)
 */
import { InputError } from '../../errors.ts';
import { layerExpertBytes } from '../../model/flops.ts';
import type { ModelConfig } from '../../model/types.ts';
import { requestFlops } from '../../serving/request-flops.ts';
import { saturate, saturationWarning, type SaturationMode } from '../../serving/saturation.ts';
import { gatherMs } from '../cost.ts';
import { PAPER_MFU, type Hardware } from '../hardware.ts';
import { deviceMemory, USABLE_MEMORY } from '../plan/memory.ts';
import { HARDWARE_PRESETS } from '../presets/hardware.ts';
import type { HardwarePreset } from '../presets/hardware-schema.ts';
import { hasOwnSequences, STRATEGY_KINDS, type SimStrategy } from '../run-shape.ts';
import type { WorldOptions } from './world.ts';

/** Keys and values in 16 bits, whatever the weights are in. */
const KEY_VALUE_ELEMENT_BYTES = 2;
/** Layers that own experts are held ahead where they stream from host memory: one slot computes, one is filled, as without offload. */
const OFFLOAD = { layers: 1 };

/** Only weights are asked for. */
const NO_BATCH = { tokens: 1, contextTokens: 1 };

/** Keys and values of one token in all layers. */
const keyValueBytes = ({ numHiddenLayers, numKeyValueHeads, headDim }: ModelConfig): number =>
  2 * numHiddenLayers * numKeyValueHeads * headDim * KEY_VALUE_ELEMENT_BYTES;

export interface MachineOptions {
  readonly hardware: Hardware;
  readonly config: ModelConfig;
  readonly strategy: SimStrategy;
  readonly ranks: number;
  /** Tokens of each engine's keys and values, where the strategy has a prefix cache. */
  readonly cacheTokens: number;
  readonly gamma: number;
  /** What F is in the threshold; `measured` is what kernels reach. */
  readonly saturation: SaturationMode;
  /** Of the largest batch, for people. */
  readonly batchTokens: number;
  /** Instead of the link's; milliseconds of a layer. */
  readonly gatherMs?: number;
}

export interface Machine {
  readonly ranks: number;
  /** Each rank, or all of them together. */
  readonly engines: number;
  /** t_EP of a layer. */
  readonly gatherMs: number;
  readonly moeLayers: number;
  /** Of a rank. */
  readonly peakFlopsPerSecond: number;
  /** What a rank's kernels reach where nothing is waited for. */
  readonly flopsPerSecond: number;
  /** T_batch, FLOPs. */
  readonly threshold: number;
  /** The arithmetic, a line a step. */
  readonly lines: readonly string[];
  /** The ranks as simulated ones. */
  readonly world: Omit<WorldOptions, 'config' | 'candidates'>;
}

const GB = 1e9;
const gb = (bytes: number): string => (bytes / GB).toFixed(1);

interface Memory {
  /** Own experts are on the device. */
  readonly fits: boolean;
  readonly hostBytesPerSecond: number;
  readonly line: string;
}

/** @throws InputError for `resident` where not all experts fit, and where the model cannot be split so */
function memoryOf({ hardware: { name, precision, elementBytes }, config, strategy, ranks, cacheTokens }: MachineOptions): Memory {
  const hardware = HARDWARE_PRESETS.find(({ title }) => title === name) as HardwarePreset;
  const setting = { config, ranks, hardware, precision: precision === 'BF16' ? 'bf16' : 'fp8', offload: 0, kv: 'none', cacheTokens: 0, gamma: 1 } as const;
  const { shared, firstLayer, slots, shard } = deviceMemory(setting, strategy, NO_BATCH);
  const fixed = shared + firstLayer + slots;
  const caches = STRATEGY_KINDS[strategy] === 'streaming';
  const keysAndValues = caches ? cacheTokens * keyValueBytes(config) : 0;
  const usable = USABLE_MEMORY * hardware.memoryBytes.value;
  const fits = fixed + shard + keysAndValues <= usable;
  const cache = caches ? ` + ${cacheTokens.toLocaleString('en-US')} tokens of keys and values in 16 bits ${gb(keysAndValues)} GB` : '';
  const room = `${USABLE_MEMORY} x ${gb(hardware.memoryBytes.value)} GB`;
  if (!fits && strategy === 'resident') {
    throw new InputError('--strategy', 'resident', `keeps all experts on each device: weights ${gb(fixed + shard)} GB${cache} do not fit in ${room}; expected another strategy, or a smaller model or cache`);
  }
  const streams = `: experts stream from host memory, ${gb(layerExpertBytes(config, elementBytes) / ranks)} GB a layer at ${gb(hardware.hostBytesPerSecond.value)} GB/s`;
  return {
    fits, hostBytesPerSecond: hardware.hostBytesPerSecond.value,
    line: `memory of a device: weights ${gb(fixed + shard)} GB${cache} ${fits ? 'fit' : 'do not fit'} in ${room}${fits ? '' : streams}${fixed + keysAndValues <= usable ? '' : `; and yet such ${caches ? 'a cache fits' : 'weights fit'} on no such device`}`,
  };
}

/** Whether experts come from peers. */
const gathersExperts = (strategy: SimStrategy): boolean => strategy === 'asyncep' || strategy === 'sync';

/** The ranks, and why t_EP is what it is. */
function worldOf(options: MachineOptions, { fits, hostBytesPerSecond }: Memory): { readonly world: Machine['world']; readonly transferMs: number; readonly source: string } {
  const { hardware: { elementBytes, linkBytesPerSecond, peakFlopsPerSecond }, config, strategy, ranks, gatherMs: given } = options;
  const gathers = gathersExperts(strategy);
  if (given !== undefined && !gathers) throw new InputError('--gather-ms', '', `no experts are gathered under ${strategy}; expected --strategy asyncep or sync`);
  const link = ranks === 1 ? null : { bytesPerSecond: linkBytesPerSecond, latencyMs: 0 };
  const world = { strategy, ranks, link, flopsPerSecond: PAPER_MFU * peakFlopsPerSecond, wire: 'bf16', weightBytes: elementBytes, dispatch: 'rank' } as const;
  if (given !== undefined) return { world: { ...world, gatherMs: given }, transferMs: given, source: 'as given' };
  const transfer = { config, ranks, weightBytes: elementBytes, link: gathers ? link : null };
  const offload = fits ? {} : { offload: OFFLOAD, hostBytesPerSecond };
  const transferMs = gatherMs({ ...transfer, ...offload });
  const source = transferMs > gatherMs(transfer) ? 'experts from host memory' : gathers ? 'gather' : 'nothing is gathered';
  return { world: { ...world, ...offload }, transferMs, source };
}

/**
 * @returns what so many ranks have of the hardware, with the arithmetic
 * @throws InputError for a gamma below 1, or a strategy that cannot be on such ranks
 */
export function machineOf(options: MachineOptions): Machine {
  const { hardware, config, strategy, ranks, gamma, saturation, batchTokens } = options;
  const memory = memoryOf(options);
  const { world, transferMs, source } = worldOf(options, memory);
  const engines = hasOwnSequences(strategy) ? ranks : 1;
  const [peakFlopsPerSecond, flopsPerSecond] = [hardware.peakFlopsPerSecond, PAPER_MFU * hardware.peakFlopsPerSecond];
  const engine = { gatherMs: transferMs, peakFlopsPerSecond: (peakFlopsPerSecond * ranks) / engines, measuredFlopsPerSecond: (flopsPerSecond * ranks) / engines };
  const moeLayers = config.layerIsMoe.filter(Boolean).length;
  const largestBatch = { tokens: batchTokens, flops: requestFlops(config)({ newTokens: batchTokens }) };
  const { threshold, gatherFlops, arithmetic } = saturate({ engines: [engine], moeLayers, mode: saturation, gamma, largestBatch });
  const warning = saturationWarning({ gatherFlops }, largestBatch);
  return {
    ranks, engines, gatherMs: transferMs, moeLayers, peakFlopsPerSecond, flopsPerSecond, threshold, world,
    lines: [
      ...(options.gatherMs === undefined ? [memory.line] : []), `t_EP = ${transferMs.toFixed(2)} ms (${source}); ${arithmetic}`, ...(warning === null ? [] : [warning]),
    ],
  };
}
