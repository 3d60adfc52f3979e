/** What the reader has set: the one scenario that schedule, baselines, formulas and threshold show. */
import { computed, signal, type ReadonlySignal } from '@preact/signals';
import { MAX_RANKS } from '../../src/collective/partition.ts';

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
  /** From a rank's host memory to its device, bytes per second; counts with offload only. */
  readonly hostBytesPerSecond: number;
  /** Margin of the threshold. */
  readonly gamma: number;
}

export type SettingName = keyof Settings;

/** One slider. */
export interface Range {
  readonly label: string;
  readonly least: number;
  readonly most: number;
  /** `doubling`: `perDoubling` equal steps lead from each doubling to the next (4: 64, 80, 96, 112, 128, 160, ...). */
  readonly scale: 'linear' | 'doubling';
  /** Of a linear slider. */
  readonly step?: number;
  /** Of a doubling one. */
  readonly perDoubling?: number;
  /** Values are multiples of this. */
  readonly multipleOf?: number;
  /** With its unit, as it stands beside the slider. */
  readonly text: (value: number) => string;
}

const GB = 1e9;
const decimals = (value: number): string => String(Number(value.toPrecision(3)));
const bytesPerSecond = (value: number): string => `${decimals(value / GB)} GB/s`;

/** Sliders, in the order in which they are shown. The input of `name` has the id `slider-<name>`. */
export const RANGES: Readonly<Record<SettingName, Range>> = {
  tokens: {
    label: 'Tokens of a batch', least: 64, most: 65_536, scale: 'doubling', perDoubling: 4, multipleOf: 16, text: (value) => value.toLocaleString('en-US'),
  },
  ranks: { label: 'Ranks (devices)', least: 1, most: MAX_RANKS, scale: 'linear', step: 1, multipleOf: 1, text: String },
  experts: { label: 'Experts of a layer', least: 8, most: 512, scale: 'doubling', perDoubling: 1, multipleOf: 1, text: String },
  linkBytesPerSecond: { label: 'Link', least: GB, most: 1024 * GB, scale: 'doubling', perDoubling: 4, text: bytesPerSecond },
  flopsPerSecond: { label: 'FLOP rate', least: 1e12, most: 2.048e15, scale: 'doubling', perDoubling: 4, text: (value) => `${decimals(value / 1e12)} TFLOP/s` },
  offload: {
    label: 'Offload window', least: 0, most: 4, scale: 'linear', step: 1, multipleOf: 1, text: (value) => (value === 0 ? 'off' : `${value} ${value === 1 ? 'layer' : 'layers'}`),
  },
  hostBytesPerSecond: { label: 'Host link', least: GB, most: 512 * GB, scale: 'doubling', perDoubling: 4, text: bytesPerSecond },
  gamma: { label: 'Margin γ', least: 1, most: 2, scale: 'linear', step: 0.05, text: (value) => value.toFixed(2) },
};

export const SETTING_NAMES = Object.keys(RANGES) as readonly SettingName[];

/** Number of the last position of a slider; the first is 0. */
export function lastPosition({ least, most, scale, step = 1, perDoubling = 1 }: Range): number {
  return Math.round(scale === 'linear' ? (most - least) / step : Math.log2(most / least) * perDoubling);
}

/** Value at a position of a slider. */
export function valueAt({ least, scale, step = 1, perDoubling = 1 }: Range, position: number): number {
  if (scale === 'linear') return Number((least + position * step).toFixed(6));
  return least * 2 ** Math.floor(position / perDoubling) * (1 + (position % perDoubling) / perDoubling);
}

/** The position nearest to a value, which may lie between two. */
export function positionOf(range: Range, value: number): number {
  let nearest = 0;
  for (let position = 1; position <= lastPosition(range); position++) {
    if (Math.abs(valueAt(range, position) - value) < Math.abs(valueAt(range, nearest) - value)) nearest = position;
  }
  return nearest;
}

/** The value of a slider's position that is nearest to `value`. */
export const snap = (name: SettingName, value: number): number => valueAt(RANGES[name], positionOf(RANGES[name], value));

/** Eight H100 with the model of the paper, at what whole passes reach of their peak; the batch is a little above the threshold. */
export const FIRST_SETTINGS: Settings = {
  tokens: 8192, ranks: 8, experts: 128, linkBytesPerSecond: 450 * GB, flopsPerSecond: 0.32 * 989.5e12, offload: 0, hostBytesPerSecond: 64 * GB, gamma: 1.2,
};

const current = signal<Settings>(FIRST_SETTINGS);

/** What is set now. */
export const settings: ReadonlySignal<Settings> = computed(() => current.value);

function bringIn({ least, most, multipleOf }: Range, value: number): number {
  const inside = Math.min(most, Math.max(least, value));
  return multipleOf === undefined ? inside : Math.max(least, Math.round(inside / multipleOf) * multipleOf);
}

/** Sets some values; each is brought into its slider's range, and to a multiple of what it counts in. A rank owns at least one expert. */
export function change(patch: Partial<Settings>): void {
  const next = { ...current.value, ...patch };
  const inside = Object.fromEntries(SETTING_NAMES.map((name) => [name, bringIn(RANGES[name], next[name])])) as unknown as Settings;
  current.value = { ...inside, ranks: Math.min(inside.ranks, inside.experts) };
}
