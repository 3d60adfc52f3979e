/** Machines to jump to: those of the presets whose links and rates the sliders have. */
import { HARDWARE_PRESETS, peakOf } from '../../src/sim/presets/hardware.ts';
import { RANGES, type SettingName, type Settings } from './settings.ts';

export interface Machine {
  readonly name: string;
  readonly title: string;
  readonly patch: Partial<Settings>;
}

const isInRange = (patch: Partial<Settings>): boolean =>
  (Object.entries(patch) as [SettingName, number][]).every(([name, value]) => value >= RANGES[name].least && value <= RANGES[name].most);

/** Rates in bf16 as far as whole passes reach them. A machine of one device streams from its host: nothing else travels there. */
export const MACHINES: readonly Machine[] = HARDWARE_PRESETS.map((preset): Machine => {
  const { name, title, devices, link, mfu, hostBytesPerSecond } = preset;
  return {
    name, title, patch: {
      ranks: devices, flopsPerSecond: peakOf(preset, 'bf16').value * mfu.value, hostBytesPerSecond: hostBytesPerSecond.value, offload: link === null ? 1 : 0,
      ...(link !== null && { linkBytesPerSecond: link.bytesPerSecond.value }),
    },
  };
}).filter(({ patch }) => isInRange(patch));

/** The machine whose values are set now. */
export const machineOf = (settings: Settings): Machine | undefined =>
  MACHINES.find(({ patch }) => (Object.entries(patch) as [SettingName, number][]).every(([name, value]) => settings[name] === value));
