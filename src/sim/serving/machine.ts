/**
 * The machine that simulated engines run on: what a gather and a FLOP cost, and what memory leaves for keys and values.
 *
 *     gather    t_EP = (P-1)/P x bytes of a layer's experts / link                       (0 for one engine that holds all experts)
 *     offload   t_EP = max(gather, 1/P x bytes of a layer's experts / host link)         where the shards do not fit beside keys and values
 *     compute   FLOPs / (MFU x peak)
 */
import { layerExpertBytes, rankWeightBytes } from '../../model/flops.ts';
import type { ModelConfig } from '../../model/types.ts';
import { requestFlops } from '../../serving/request-flops.ts';
import { saturate, saturationWarning, type SaturationMode } from '../../serving/saturation.ts';
import { gatherMs } from '../cost.ts';
import { PAPER_MFU, type Hardware } from '../hardware.ts';
import { HARDWARE_PRESETS } from '../presets/hardware.ts';
import type { HardwarePreset } from '../presets/hardware-schema.ts';

/** Share of the memory that weights and keys and values may take: activations and the driver need the rest (vLLM takes as much by default). */
const USABLE_MEMORY = 0.9;
/** Keys and values in 16 bits, whatever the weights are in. */
const KEY_VALUE_ELEMENT_BYTES = 2;
/** Complete layers on a device beside the first: one computes, one is filled. */
const SLOTS = 2;

/** Keys and values of one token in all layers. */
const keyValueBytes = ({ numHiddenLayers, numKeyValueHeads, headDim }: ModelConfig): number =>
  2 * numHiddenLayers * numKeyValueHeads * headDim * KEY_VALUE_ELEMENT_BYTES;

export interface MachineOptions {
  readonly hardware: Hardware;
  readonly config: ModelConfig;
  readonly engines: number;
  /** Tokens of each engine's keys and values. */
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
  readonly engines: number;
  /** t_EP of a layer. */
  readonly gatherMs: number;
  readonly moeLayers: number;
  readonly peakFlopsPerSecond: number;
  /** What kernels reach where nothing is waited for. */
  readonly flopsPerSecond: number;
  /** T_batch, FLOPs. */
  readonly threshold: number;
  /** The arithmetic, a line a step. */
  readonly lines: readonly string[];
}

const GB = 1e9;

interface DeviceBytes {
  /** Weights that are always on the device, and slots. */
  readonly fixed: number;
  /** What can stay in host memory. */
  readonly shard: number;
  readonly keysAndValues: number;
}

function deviceBytes({ config, engines, hardware: { elementBytes }, cacheTokens }: MachineOptions): DeviceBytes {
  const { shared, shard, firstLayer } = rankWeightBytes(config, Math.ceil(config.numExperts / engines), elementBytes);
  return { fixed: shared + firstLayer + SLOTS * layerExpertBytes(config, elementBytes), shard, keysAndValues: cacheTokens * keyValueBytes(config) };
}

/** t_EP over the links, and whether the shard stays in host memory. */
function transfers(options: MachineOptions): { readonly gather: number; readonly host: number; readonly line: string } {
  const { hardware: { name, elementBytes, linkBytesPerSecond }, config, engines, cacheTokens } = options;
  const device = HARDWARE_PRESETS.find(({ title }) => title === name) as HardwarePreset;
  const { fixed, shard, keysAndValues } = deviceBytes(options);
  const usable = USABLE_MEMORY * device.memoryBytes.value;
  const fits = fixed + shard + keysAndValues <= usable;
  const layer = layerExpertBytes(config, elementBytes);
  const gb = (bytes: number): string => (bytes / GB).toFixed(1);
  return {
    gather: gatherMs({ config, ranks: engines, weightBytes: elementBytes, link: { bytesPerSecond: linkBytesPerSecond, latencyMs: 0 } }),
    host: fits ? 0 : (layer / engines / device.hostBytesPerSecond.value) * 1000,
    line: `memory of a device: weights ${gb(fixed + shard)} GB + ${cacheTokens.toLocaleString('en-US')} tokens of keys and values in 16 bits ${gb(keysAndValues)} GB ${fits ? 'fit in' : 'do not fit in'} ${USABLE_MEMORY} x ${gb(device.memoryBytes.value)} GB`
      + (fits ? '' : `: experts stream from host memory, ${gb(layer / engines)} GB a layer at ${gb(device.hostBytesPerSecond.value)} GB/s`)
      + (fixed + keysAndValues <= usable ? '' : '; and yet such a cache fits on no such device'),
  };
}

/**
 * @returns what a number of engines have of the hardware, with the arithmetic
 * @throws InputError for a gamma below 1
 */
export function machineOf(options: MachineOptions): Machine {
  const { hardware, config, gamma, saturation, batchTokens } = options;
  const { gather, host, line } = transfers(options);
  const given = options.gatherMs !== undefined;
  const transferMs = options.gatherMs ?? Math.max(gather, host);
  const rates = { gatherMs: transferMs, peakFlopsPerSecond: hardware.peakFlopsPerSecond, measuredFlopsPerSecond: PAPER_MFU * hardware.peakFlopsPerSecond };
  const moeLayers = config.layerIsMoe.filter(Boolean).length;
  const largestBatch = { tokens: batchTokens, flops: requestFlops(config)({ newTokens: batchTokens }) };
  const { threshold, gatherFlops, arithmetic } = saturate({ engines: [rates], moeLayers, mode: saturation, gamma, largestBatch });
  const warning = saturationWarning({ gatherFlops }, largestBatch);
  const source = given ? 'as given' : host > gather ? 'experts from host memory' : 'gather';
  return {
    engines: options.engines, gatherMs: transferMs, moeLayers, peakFlopsPerSecond: rates.peakFlopsPerSecond, flopsPerSecond: rates.measuredFlopsPerSecond, threshold,
    lines: [...(given ? [] : [line]), `t_EP = ${transferMs.toFixed(2)} ms (${source}); ${arithmetic}`, ...(warning === null ? [] : [warning])],
  };
}
