/** What the reader has set: the one scenario that schedule, baselines, formulas and threshold show. */
import { computed, signal, type ReadonlySignal } from '@preact/signals';

export interface Settings {
  /** Tokens of the batch of each rank. */
  readonly tokens: number;
  readonly ranks: number;
  /** Of a layer; each keeps its size. */
  readonly experts: number;
  /** In each direction, bytes per second. */
  readonly linkBytesPerSecond: number;
  /** At which a device computes, FLOP/s. */
  readonly flopsPerSecond: number;
  /** Layers held ahead while a rank's own experts stay in host memory; 0: they are on the device. */
  readonly offload: number;
  /** Margin of the threshold. */
  readonly gamma: number;
}

export type SettingName = keyof Settings;

/** One slider. */
export interface Range {
  readonly label: string;
  readonly least: number;
  readonly most: number;
  /** `doubling`: each step of the slider doubles the value (by quarters of a doubling where `perDoubling` is 4). */
  readonly scale: 'linear' | 'doubling';
  /** Of a linear slider. */
  readonly step?: number;
  /** Of a doubling one. */
  readonly perDoubling?: number;
  /** With its unit, as it stands beside the slider. */
  readonly text: (value: number) => string;
}

const GB = 1e9;
const decimals = (value: number): string => String(Number(value.toPrecision(3)));

/** Sliders, in the order in which they are shown. The input of `name` has the id `slider-<name>`. */
export const RANGES: Readonly<Record<SettingName, Range>> = {
  tokens: { label: 'Tokens of a batch', least: 64, most: 65_536, scale: 'doubling', perDoubling: 4, text: (value) => Math.round(value).toLocaleString('en-US') },
  ranks: { label: 'Ranks (devices)', least: 1, most: 16, scale: 'linear', step: 1, text: String },
  experts: { label: 'Experts of a layer', least: 8, most: 512, scale: 'doubling', perDoubling: 1, text: String },
  linkBytesPerSecond: { label: 'Link', least: 1e9, most: 1.024e12, scale: 'doubling', perDoubling: 4, text: (value) => `${decimals(value / GB)} GB/s` },
  flopsPerSecond: { label: 'FLOP rate', least: 1e12, most: 2.048e15, scale: 'doubling', perDoubling: 4, text: (value) => `${decimals(value / 1e12)} TFLOP/s` },
  offload: { label: 'Offload window', least: 0, most: 4, scale: 'linear', step: 1, text: (value) => (value === 0 ? 'off' : `${value} ${value === 1 ? 'layer' : 'layers'}`) },
  gamma: { label: 'Margin γ', least: 1, most: 2, scale: 'linear', step: 0.05, text: (value) => value.toFixed(2) },
};

/** Eight H100 with the model of the paper, at what whole passes reach of their peak. */
export const FIRST_SETTINGS: Settings = { tokens: 4096, ranks: 8, experts: 128, linkBytesPerSecond: 450 * GB, flopsPerSecond: 316e12, offload: 0, gamma: 1.2 };

const current = signal<Settings>(FIRST_SETTINGS);

/** What is set now. */
export const settings: ReadonlySignal<Settings> = computed(() => current.value);

/** Sets some values; each is brought into its slider's range. */
export function change(patch: Partial<Settings>): void {
  const entries = Object.entries({ ...current.value, ...patch }) as [SettingName, number][];
  current.value = Object.fromEntries(entries.map(([name, value]) => [name, Math.min(RANGES[name].most, Math.max(RANGES[name].least, value))])) as unknown as Settings;
}
