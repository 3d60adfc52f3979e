/** Machines to jump to: those of the presets whose links and rates the sliders have. */
import { HARDWARE_PRESETS, peakOf } from '../../src/sim/presets/hardware.ts';
import type { HardwarePreset } from '../../src/sim/presets/hardware-schema.ts';
import { groupBy } from './drawing/group.ts';
import { RANGES, type SettingName, type Settings } from './settings.ts';

export interface Machine {
  readonly name: string;
  readonly title: string;
  readonly patch: Partial<Settings>;
}

const isInRange = (patch: Partial<Settings>): boolean =>
  (Object.entries(patch) as [SettingName, number][]).every(([name, value]) => value >= RANGES[name].least && value <= RANGES[name].most);

/** Rates in bf16 as far as whole passes reach them. A machine of one device streams from its host: nothing else travels there. */
function patchOf(preset: HardwarePreset): Partial<Settings> {
  const { devices, link, mfu, hostBytesPerSecond } = preset;
  return {
    ranks: devices, flopsPerSecond: peakOf(preset, 'bf16').value * mfu.value, hostBytesPerSecond: hostBytesPerSecond.value, offload: link === null ? 1 : 0,
    ...(link !== null && { linkBytesPerSecond: link.bytesPerSecond.value }),
  };
}

/** Presets that differ in nothing that the sliders have are one machine. */
export const MACHINES: readonly Machine[] = [...groupBy(HARDWARE_PRESETS.filter((preset) => isInRange(patchOf(preset))), (preset) => JSON.stringify(patchOf(preset))).values()]
  .map((same): Machine => ({ name: (same[0] as HardwarePreset).name, title: same.map(({ title }) => title).join(', '), patch: patchOf(same[0] as HardwarePreset) }));

/** The machine whose values are set now. */
export const machineOf = (settings: Settings): Machine | undefined =>
  MACHINES.find(({ patch }) => (Object.entries(patch) as [SettingName, number][]).every(([name, value]) => settings[name] === value));
