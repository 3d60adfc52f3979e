/**
 * Rotary embedding: one angle per position and pair of dimensions, `angle(p, i) = p * inverseFrequencies[i]`; dimensions i and i + d/2
 * rotate together (Hugging Face's "rotate half"). Cosine and sine are multiplied by `attentionFactor`.
 *
 * Source: transformers, `modeling_rope_utils.py`: default, `_compute_linear_scaling_rope_parameters`, `_compute_yarn_parameters`.
 * Its tensors are float32: `f` rounds where it rounds, since at position 100,000 the last bit of a frequency turns by 1/100 radian.
 */
import type { ModelConfig, RopeScaling } from './types.ts';

const f = Math.fround;

export interface RopeFrequencies {
  /** d/2 angles per position. */
  readonly inverseFrequencies: Float32Array;
  /** Multiplies cosine and sine; 1 unless yarn. */
  readonly attentionFactor: number;
}

type RopeConfig = Pick<ModelConfig, 'headDim' | 'ropeTheta' | 'ropeScaling'>;

/** Inverse frequencies and attention factor of a model's rotation. */
export function ropeFrequencies({ headDim, ropeTheta, ropeScaling }: RopeConfig): RopeFrequencies {
  const wavelengths = Float32Array.from({ length: headDim / 2 }, (_, i) => ropeTheta ** f((2 * i) / headDim));
  if (ropeScaling === null) return { inverseFrequencies: wavelengths.map((w) => 1 / w), attentionFactor: 1 };
  if (ropeScaling.kind === 'linear') {
    const { factor } = ropeScaling;
    return { inverseFrequencies: wavelengths.map((w) => f(1 / w) / factor), attentionFactor: 1 };
  }
  return {
    inverseFrequencies: yarnFrequencies(wavelengths, headDim, ropeTheta, ropeScaling),
    attentionFactor: ropeScaling.attentionFactor,
  };
}

type Yarn = Extract<RopeScaling, { kind: 'yarn' }>;

/** Fast dimensions keep their frequency, slow ones are divided by `factor`, a ramp joins them (arXiv 2309.00071, section 3.2). */
function yarnFrequencies(wavelengths: Float32Array, dim: number, base: number, yarn: Yarn): Float32Array {
  const [low, high] = correctionRange(dim, base, yarn);
  return wavelengths.map((wavelength, i) => {
    const ramp = Math.min(1, Math.max(0, f(f(i - f(low)) / f(high - low))));
    const keep = f(1 - ramp);
    const interpolated = f(1 / f(yarn.factor * wavelength));
    const extrapolated = f(1 / wavelength);
    return f(interpolated * f(1 - keep)) + f(extrapolated * keep);
  });
}

/** The dimensions between which the ramp lies: those that turn `betaFast` and `betaSlow` times within the original context. */
function correctionRange(dim: number, base: number, yarn: Yarn): [number, number] {
  const dimensionTurning = (rotations: number): number =>
    (dim * Math.log(yarn.originalMaxPositionEmbeddings / (rotations * 2 * Math.PI))) / (2 * Math.log(base));
  let low = dimensionTurning(yarn.betaFast);
  let high = dimensionTurning(yarn.betaSlow);
  if (yarn.truncate) [low, high] = [Math.floor(low), Math.ceil(high)];
  low = Math.max(low, 0);
  high = Math.min(high, dim - 1);
  return low === high ? [low, high + 0.001] : [low, high];
}

/** The factor that yarn puts on cosine and sine when the configuration does not give it. */
export function yarnAttentionFactor(factor: number, mscale: number | null, mscaleAllDim: number | null): number {
  const scaled = (weight: number): number => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  return mscale && mscaleAllDim ? scaled(mscale) / scaled(mscaleAllDim) : scaled(1);
}
