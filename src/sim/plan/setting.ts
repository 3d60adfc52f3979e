/** What a plan is for: a model on some devices of a machine, and the rates that follow from it. */
import type { Link } from '../../collective/link.ts';
import type { KvMode } from '../../engine/index.ts';
import { InputError } from '../../errors.ts';
import { PRECISION_BYTES, type HardwarePreset, type Precision } from '../presets/hardware-schema.ts';
import { peakOf } from '../presets/hardware.ts';
import type { ModelConfig } from '../../model/types.ts';

export interface PlanSetting {
  readonly config: ModelConfig;
  readonly hardware: HardwarePreset;
  readonly ranks: number;
  /** Of weights, on the device and on the wire. */
  readonly precision: Precision;
  /** Layers held ahead while own experts stay in host memory; 0: they are on the device. */
  readonly offload: number;
  readonly kv: KvMode;
  /** `kv: cache`: tokens whose keys and values a device keeps. */
  readonly cacheTokens: number;
  /** Of the threshold, at least 1. */
  readonly gamma: number;
}

export interface PlanRates {
  /** F of the threshold. */
  readonly peakFlopsPerSecond: number;
  /** At which precision that is. */
  readonly computedAs: Precision;
  /** What passes reach: peak x MFU. */
  readonly achievedFlopsPerSecond: number;
  readonly weightBytes: number;
  /** null: a machine of one device. */
  readonly link: Link | null;
  readonly hostBytesPerSecond: number;
}

export function ratesOf({ hardware, precision }: Pick<PlanSetting, 'hardware' | 'precision'>): PlanRates {
  const peak = peakOf(hardware, precision);
  return {
    peakFlopsPerSecond: peak.value, computedAs: peak.computedAs, achievedFlopsPerSecond: peak.value * hardware.mfu.value,
    weightBytes: PRECISION_BYTES[precision],
    link: hardware.link === null ? null : { bytesPerSecond: hardware.link.bytesPerSecond.value, latencyMs: hardware.link.latencyMs.value },
    hostBytesPerSecond: hardware.hostBytesPerSecond.value,
  };
}

const isWhole = (value: number, least: number): boolean => Number.isSafeInteger(value) && value >= least;

/** @throws InputError naming the flag */
export function checkSetting({ config, hardware, ranks, offload, cacheTokens, gamma }: PlanSetting): void {
  const refuse = (flag: string, problem: string): never => { throw new InputError(flag, '', problem); };
  if (!isWhole(ranks, 1) || ranks > hardware.devices) refuse('--ranks', `${ranks} devices asked for; expected 1 to ${hardware.devices}, as ${hardware.title} has`);
  if (ranks > config.numExperts) refuse('--ranks', `${ranks} devices for ${config.numExperts} experts; expected at most one device an expert`);
  if (!isWhole(offload, 0)) refuse('--offload', `${offload} layers asked for; expected a whole number of at least 0`);
  if (!isWhole(cacheTokens, 0)) refuse('--cache-tokens', `${cacheTokens}; expected a whole number of at least 0`);
  if (!(gamma >= 1 && Number.isFinite(gamma))) refuse('--gamma', `${gamma}; expected a number of at least 1`);
}

export const moeLayersOf = ({ layerIsMoe }: ModelConfig): number => layerIsMoe.filter(Boolean).length;
