/** What a step costs a device: the three fitted parameters, and the counts of the model. */
import { layerFlops } from '../../src/model/flops.ts';
import type { ModelConfig } from '../../src/model/types.ts';
import { PRECISION_BYTES, type HardwarePreset, type Precision } from '../../src/sim/presets/hardware-schema.ts';
import { hardwarePreset, peakOf } from '../../src/sim/presets/hardware.ts';
import { modelPreset } from '../../src/sim/presets/models.ts';
import { CONFIGURATIONS, type ConfigurationName } from './published.ts';

export interface Fitted {
  /** Share of the peak, at the weights' precision, that dense and grouped products reach in large batches. */
  readonly products: number;
  /** Share of the peak in 16 bits that attention reaches, whatever the weights are in. */
  readonly attention: number;
  /** Tokens whose products take as long as what a step costs whatever its size: weights read, tiles of 128 experts filled, kernels launched. */
  readonly stepTokens: number;
  /** Share of the link's rate that the baselines' exchanges come to, with the kernels that pack and align rows for them (section 4.3). */
  readonly exchange: number;
}

/** FLOPs of all layers. */
export interface Counts {
  /** Of a token: projections and router, and experts. */
  readonly dense: number;
  readonly experts: number;
  /** Of a query with a key that it sees. */
  readonly pair: number;
}

export const MODEL: ModelConfig = modelPreset('qwen3-235b-a22b').config;
export const COUNTS: Counts = countsOf(MODEL);

function countsOf(config: ModelConfig): Counts {
  const { projections, router, experts, attention } = layerFlops(config, 0, { newTokens: 1 });
  const layers = config.numHiddenLayers;
  return { dense: layers * (projections + router), experts: layers * experts, pair: layers * attention };
}

export interface Machine {
  readonly hardware: HardwarePreset;
  readonly precision: Precision;
  readonly weightBytes: number;
  readonly peakFlopsPerSecond: number;
  /** Attention computes in 16 bits. */
  readonly attentionFlopsPerSecond: number;
  readonly linkBytesPerSecond: number;
  readonly linkLatencyMs: number;
}

export function machineFor(name: ConfigurationName): Machine {
  const { hardware: preset, precision } = CONFIGURATIONS[name];
  const hardware = hardwarePreset(preset);
  const link = hardware.link as NonNullable<HardwarePreset['link']>;
  return {
    hardware, precision, weightBytes: PRECISION_BYTES[precision], peakFlopsPerSecond: peakOf(hardware, precision).value,
    attentionFlopsPerSecond: peakOf(hardware, 'bf16').value, linkBytesPerSecond: link.bytesPerSecond.value, linkLatencyMs: link.latencyMs.value,
  };
}

/** Tokens that a device computes together, and the pairs of a query and a key among them. */
export interface StepWork {
  readonly tokens: number;
  readonly pairs: number;
}


const seconds = (flops: number, rate: number): number => flops / rate;

/** Milliseconds of projections and attention. */
export function attentionMs({ tokens, pairs }: StepWork, { products, attention, stepTokens }: Fitted, machine: Machine, share = 1): number {
  return 1000 * share * (seconds((tokens + stepTokens) * COUNTS.dense, products * machine.peakFlopsPerSecond)
    + seconds(pairs * COUNTS.pair, attention * machine.attentionFlopsPerSecond));
}

/** Milliseconds of experts. */
export const expertsMs = (tokens: number, { products, stepTokens }: Fitted, machine: Machine, share = 1): number =>
  1000 * share * seconds((tokens + stepTokens) * COUNTS.experts, products * machine.peakFlopsPerSecond);

/** Milliseconds of a step that one device with all weights computes. */
export const stepMs = (work: StepWork, fitted: Fitted, machine: Machine): number => attentionMs(work, fitted, machine) + expertsMs(work.tokens, fitted, machine);

export const flopsOf = ({ tokens, pairs }: StepWork): number => tokens * (COUNTS.dense + COUNTS.experts) + pairs * COUNTS.pair;

/** A batch of whole sequences. */
export const wholeSequences = (lengths: readonly number[]): StepWork =>
  lengths.reduce(({ tokens, pairs }, length) => ({ tokens: tokens + length, pairs: pairs + (length * (length + 1)) / 2 }), { tokens: 0, pairs: 0 });

/** FLOP/s of a device whose batches are like `batch`. */
export const rateOf = (batch: StepWork, fitted: Fitted, machine: Machine): number => (flopsOf(batch) / stepMs(batch, fitted, machine)) * 1000;
