/** What the paper says it measured (arXiv 2605.02960, sections 1 and 8), figure by figure. Qwen3-235B-A22B in all of them. */

/** The machines, by the name that the figures have them under. */
export const CONFIGURATIONS = {
  'a100-bf16': { title: '8x A100-80 BF16', hardware: 'a100-80', precision: 'bf16' },
  'h100-bf16': { title: '8x H100-80 BF16', hardware: 'h100-80', precision: 'bf16' },
  'h100-fp8': { title: '8x H100-80 FP8', hardware: 'h100-80', precision: 'fp8' },
  'h200-fp8': { title: '8x H200-141 FP8', hardware: 'h200-141', precision: 'fp8' },
} as const;
export type ConfigurationName = keyof typeof CONFIGURATIONS;
export const CONFIGURATION_NAMES = Object.keys(CONFIGURATIONS) as ConfigurationName[];

/** Synthetic workloads without shared prefixes. */
export const REGIMES = ['short', 'medium', 'long', 'ultra'] as const;
export type Regime = (typeof REGIMES)[number];

export type Unit = 'ratio' | 'percent' | 'devices';

export interface Published {
  readonly id: string;
  readonly what: string;
  /** The lowest and the highest value that the text gives; equal where it gives one. */
  readonly low: number;
  readonly high: number;
  readonly unit: Unit;
  readonly section: string;
}

const one = (id: string, what: string, value: number, unit: Unit, section: string): Published => ({ id, what, low: value, high: value, unit, section });
const range = (id: string, what: string, low: number, high: number, unit: Unit, section: string): Published => ({ id, what, low, high, unit, section });
/** Up to `value`. */
const below = (id: string, what: string, value: number, unit: Unit, section: string): Published => ({ id, what, low: 0, high: value, unit, section });

const perConfiguration = (id: string, what: string, values: Readonly<Record<ConfigurationName, number>>, unit: Unit, section: string): Published[] =>
  CONFIGURATION_NAMES.map((name) => one(`${id} ${name}`, `${what}, ${CONFIGURATIONS[name].title}`, values[name], unit, section));

export const PUBLISHED: readonly Published[] = [
  ...perConfiguration('speed-up', 'mixed: MoE-Prefill / best baseline', { 'a100-bf16': 1.37, 'h100-bf16': 1.36, 'h100-fp8': 1.35, 'h200-fp8': 1.37 }, 'ratio', '8.2'),
  ...perConfiguration('frontend', 'mixed: what the frontend adds', { 'a100-bf16': 18, 'h100-bf16': 17, 'h100-fp8': 18, 'h200-fp8': 16 }, 'percent', '8.3'),
  range('regime short', '256 x 40960: DP+AsyncEP / best baseline', 1.29, 1.3, 'ratio', '8.4, 8.5'),
  one('regime medium', '4K x 2560: DP+AsyncEP / best baseline', 1.3, 'ratio', '8.4, 8.5'),
  range('regime long', '32K x 320: DP+AsyncEP / best baseline', 1.52, 1.59, 'ratio', '8.4, 8.5'),
  one('regime ultra', '128K x 80: DP+AsyncEP / best baseline', 1.49, 'ratio', '8.4, 8.5'),
  one('mfu 8 most', 'DP+AsyncEP, 8 GPUs: MFU of the best regime', 34.7, 'percent', '8.5'),
  one('mfu 8 least', 'DP+AsyncEP, 8 GPUs: MFU of the worst regime', 29.84, 'percent', '8.5'),
  range('mfu 4 most', 'DP+AsyncEP, 4 GPUs: MFU of the best regime', 29.8, 36.2, 'percent', '8.5'),
  range('mfu 4 least', 'DP+AsyncEP, 4 GPUs: MFU of the worst regime', 29.8, 36.2, 'percent', '8.5'),
  one('mfu 1-2 most', 'DP+AsyncEP with offload, 1 and 2 GPUs: MFU of the best', 36.2, 'percent', '8.5'),
  one('mfu 1-2 least', 'DP+AsyncEP with offload, 1 and 2 GPUs: MFU of the worst', 32, 'percent', '8.5'),
  range('mfu spread', 'MFU from 1 to 8 GPUs of a regime, most / least', 1.03, 1.09, 'ratio', '8.5'),
  one('best baseline ultra', 'best baseline at 8 GPUs (TP+TP, 128K): MFU', 20.09, 'percent', '8.5'),
  one('ep degrades', 'DP+EP short: MFU with 4 GPUs / with 8', 1.9, 'ratio', '8.5'),
  below('a100 baselines', 'mixed, 8x A100: MFU of every baseline is below', 16, 'percent', '1'),
  one('devices baselines', 'fewest GPUs of a baseline, H100 FP8', 4, 'devices', '8.5'),
  one('devices asyncep', 'fewest GPUs of MoE-Prefill, H100 FP8', 1, 'devices', '8.5'),
];

/** Figures of which the parameters were made; all others are predictions. */
export const FITTED_TO: readonly string[] = ['mfu 8 most', 'mfu 8 least', 'regime short', 'best baseline ultra'];
/** The figure by which the order of the queue was chosen: siblings together, or shuffled. */
export const CHOSEN_BY = 'frontend h100-fp8';
/** The configuration that these are of. */
export const FITTED_CONFIGURATION: ConfigurationName = 'h100-fp8';
