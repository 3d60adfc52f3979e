/** Bytes of a strategy on its way and on a device, as src/sim/plan counts them. Pure. */
import { deviceMemory, totalBytes, type DeviceMemory } from '../../src/sim/plan/memory.ts';
import type { PlanSetting } from '../../src/sim/plan/setting.ts';
import { layerTraffic, type Traffic } from '../../src/sim/plan/traffic.ts';
import { hardwarePreset } from '../../src/sim/presets/hardware.ts';
import { BASELINES, type SimStrategy } from '../../src/sim/run-shape.ts';
import { layerBytesOf, modelOf, sequencesOf, WEIGHT_BYTES } from './scenario.ts';
import type { Settings } from './settings.ts';

/** Of a device and layer, for one batch of each rank, by the paper's table (section 4). */
export function trafficOf(settings: Settings, strategy: SimStrategy): Traffic {
  const { hiddenSize, numExpertsPerTok } = modelOf(settings);
  return layerTraffic(strategy, {
    ranks: settings.ranks, tokens: settings.ranks * settings.tokens, hiddenSize, topK: numExpertsPerTok, rowElementBytes: WEIGHT_BYTES, layerBytes: layerBytesOf(settings),
  });
}

/**
 * Of the fullest device with the whole model and one batch of the scenario; a baseline has its experts on the device.
 * @throws InputError where the model cannot be split so
 */
export function memoryOf(settings: Settings, strategy: SimStrategy): { readonly parts: DeviceMemory; readonly total: number } {
  const { tokens, ranks, gamma } = settings;
  const setting: PlanSetting = {
    config: modelOf(settings), ranks, precision: 'bf16', offload: BASELINES.includes(strategy) ? 0 : settings.offload, kv: 'layer', cacheTokens: 0, gamma,
    hardware: hardwarePreset('h100-80'), // of it only the bytes of a weight count here
  };
  const parts = deviceMemory(setting, strategy, { tokens, contextTokens: sequencesOf(tokens).length });
  return { parts, total: totalBytes(parts) };
}
