/**
 * The saturation threshold (paper section 5): how much work a batch must have so that its compute hides the gathers of its layers. Ours: it is never
 * less than what fills the tiles of the grouped products, because a batch that hides its gathers and wastes the device is not saturated either.
 */
import { InputError } from '../errors.ts';
import type { ModelConfig } from '../model/types.ts';
import { saturationThreshold } from '../sim/cost.ts';

export type SaturationMode = 'peak' | 'measured' | { readonly flopsPerSecond: number };

export interface Saturation {
  /** t_EP: milliseconds of the slowest gather of a layer, measured at start on the real transport; 0 where nothing is gathered. */
  readonly gatherMs: number;
  readonly moeLayers: number;
  /** F in FLOP/s, and what it is. */
  readonly flopsPerSecond: number;
  readonly rate: 'peak' | 'measured' | 'given';
  readonly gamma: number;
  /** moeLayers * t_EP * F * gamma, FLOPs: what hides the gathers. */
  readonly gatherFlops: number;
  /** T_batch, FLOPs: that, or what fills the experts' tiles where that is more. */
  readonly threshold: number;
  /** The formula with its numbers, a line to print. */
  readonly arithmetic: string;
}

/** The batch with the most work that an engine takes. */
export interface LargestBatch {
  readonly tokens: number;
  /** True FLOPs of it as one prompt, which is when it has the most of them. */
  readonly flops: number;
}

/** What was measured of an engine at its start, see `EngineInfo`. */
export interface EngineRates {
  readonly gatherMs: number;
  readonly peakFlopsPerSecond: number;
  readonly measuredFlopsPerSecond: number;
}

export interface SaturationInput {
  /** At least one. The slowest gather and the slowest rate of them count. */
  readonly engines: readonly EngineRates[];
  readonly moeLayers: number;
  readonly mode: SaturationMode;
  /** At least 1: the margin for what was measured too low. */
  readonly gamma: number;
  readonly largestBatch: LargestBatch;
  /** The least batch that fills the experts' tiles; none by default: the paper's threshold. */
  readonly fill?: ExpertFill;
}

/** A batch in which an expert has `rows` rows on average: experts / topK * rows tokens. */
export interface ExpertFill {
  readonly rows: number;
  readonly tokens: number;
  readonly flops: number;
}

/**
 * T_batch = moeLayers * t_EP * F * gamma. The transfer is per layer and what the frontend counts is per batch, hence the factor of layers.
 * @throws InputError for a gamma below 1, or a rate that is no number above zero
 */
export function saturate({ engines, moeLayers, mode, gamma, largestBatch, fill }: SaturationInput): Saturation {
  if (!(gamma >= 1 && Number.isFinite(gamma))) throw new InputError('--gamma', '', `${gamma}; expected a number of at least 1`);
  const gatherMs = Math.max(...engines.map((engine) => engine.gatherMs));
  const { flopsPerSecond, rate } = rateOf(mode, engines);
  if (!(flopsPerSecond > 0 && Number.isFinite(flopsPerSecond))) throw new InputError('--saturation', '', `a rate of ${flopsPerSecond} FLOP/s (${rate}); expected one above zero`);
  const gatherFlops = saturationThreshold(moeLayers, gatherMs, flopsPerSecond, gamma);
  const product = `${moeLayers} MoE ${moeLayers === 1 ? 'layer' : 'layers'} x ${digits(gatherMs)} ms x ${withUnit(flopsPerSecond, 'FLOP/s')} (${rate}) x ${digits(gamma)} = ${withUnit(gatherFlops, 'FLOP')}`;
  const given = { gatherMs, moeLayers, flopsPerSecond, rate, gamma, gatherFlops };
  const fillFlops = Math.min(fill?.flops ?? 0, largestBatch.flops);
  if (fill !== undefined && fillFlops > gatherFlops) {
    const filled = `${withUnit(fillFlops, 'FLOP')}: ${Math.min(fill.tokens, largestBatch.tokens)} tokens of ${largestBatch.tokens} give an expert ${fill.rows} rows`;
    return { ...given, threshold: fillFlops, arithmetic: `T = ${filled} (the gathers are hidden from ${product})` };
  }
  const size = gatherFlops === 0 ? 'nothing is gathered, no batch has to wait' : `about ${tokensOf(gatherFlops, largestBatch)} tokens of ${largestBatch.tokens}`;
  return { ...given, threshold: gatherFlops, arithmetic: `T = ${product}, ${size}` };
}

/** @param rows that an expert should have; 0: the paper's threshold */
export function expertFill({ numExperts, numExpertsPerTok }: Pick<ModelConfig, 'numExperts' | 'numExpertsPerTok'>, rows: number, flopsOf: (tokens: number) => number): ExpertFill | undefined {
  if (rows === 0) return undefined;
  const tokens = Math.ceil((rows * numExperts) / numExpertsPerTok);
  return { rows, tokens, flops: flopsOf(tokens) };
}

function rateOf(mode: SaturationMode, engines: readonly EngineRates[]): Pick<Saturation, 'flopsPerSecond' | 'rate'> {
  if (mode === 'peak') return { rate: mode, flopsPerSecond: Math.min(...engines.map(({ peakFlopsPerSecond }) => peakFlopsPerSecond)) };
  if (mode === 'measured') return { rate: mode, flopsPerSecond: Math.min(...engines.map(({ measuredFlopsPerSecond }) => measuredFlopsPerSecond)) };
  return { rate: 'given', flopsPerSecond: mode.flopsPerSecond };
}

/** Tokens of a batch of so many FLOPs, at the largest batch's FLOPs per token. */
const tokensOf = (flops: number, { tokens, flops: most }: LargestBatch): number => Math.ceil((flops / most) * tokens);

/** What to tell where no batch can reach T, so that every pass waits for its gathers; null where one can. */
export function saturationWarning({ gatherFlops }: Pick<Saturation, 'gatherFlops'>, largestBatch: LargestBatch): string | null {
  if (largestBatch.flops >= gatherFlops) return null;
  return `a batch of ${largestBatch.tokens} tokens has at most ${withUnit(largestBatch.flops, 'FLOP')}, below T = ${withUnit(gatherFlops, 'FLOP')}: `
    + `compute cannot hide the gathers; it takes --batch-tokens of about ${tokensOf(gatherFlops, largestBatch)}`;
}

const SCALES = { '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15 } as const;
const RATE = /^(\d+(?:\.\d+)?(?:[eE]\+?\d+)?)\s*(?:([kMGTP]?)FLOP(?:S|s|\/s))?$/;

/**
 * `peak`, `measured`, or FLOP/s: `1.5TFLOPS`, `16GFLOP/s`, `2e12`.
 * @throws InputError naming --saturation and the forms expected
 */
export function parseSaturation(text: string): SaturationMode {
  const wanted = text.trim();
  if (wanted === 'peak' || wanted === 'measured') return wanted;
  const [, number, prefix = ''] = RATE.exec(wanted) ?? [];
  const flopsPerSecond = Number(number) * SCALES[prefix as keyof typeof SCALES];
  if (flopsPerSecond > 0 && Number.isFinite(flopsPerSecond)) return { flopsPerSecond };
  throw new InputError('--saturation', '', `${JSON.stringify(text)} is no rate; expected peak, measured, or FLOP/s above zero such as 1.5TFLOPS, 16GFLOP/s or 2e12`);
}

/** At most three significant digits, and no exponent. */
const digits = (value: number): string => String(value >= 1000 ? Math.round(value) : Number(value.toPrecision(3)));

/** `741e6` -> `741 MFLOP`. */
function withUnit(value: number, unit: string): string {
  const [prefix, scale] = Object.entries(SCALES).findLast(([, scale]) => Number(value.toPrecision(3)) >= scale) ?? ['', 1];
  return `${digits(value / scale)} ${prefix}${unit}`;
}
