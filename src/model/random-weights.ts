/**
 * Seeded random weights, so that any shape runs without a download. A value depends on seed, tensor, row and column only:
 * counter-based, so every rank and every order of reading sees the same numbers.
 *
 * An element is the sum of the four bytes of a 32-bit hash, centred and scaled: nearly normal, one hash each, and one of 1021 values,
 * which a table holds in the stored type.
 */
import { f32ToBf16, f32ToF16 } from './float16.ts';
import { sha256Hex } from './hash.ts';
import * as names from './tensor-names.ts';
import type { MlpSpecs, TensorSpec } from './tensor-names.ts';
import type { LayerWeights, MlpWeights, ModelConfig, ModelWeights, RawTensor, StoredDtype } from './types.ts';

/** Changes when the same seed gives other numbers. */
const GENERATOR_VERSION = 1;
const LEVELS = 4 * 255 + 1;
/** Standard deviation of the sum of four bytes. */
const SUM_STD = Math.sqrt((4 * (256 ** 2 - 1)) / 12);
const NORM_STD = 0.1;
const BIAS_STD = 0.1;

export interface RandomWeightsOptions {
  /** 32-bit integer; 0 by default. */
  readonly seed?: number;
  /** Stored type; the configuration's by default. */
  readonly dtype?: StoredDtype;
}

/**
 * Weights of the given shape: matrices with standard deviation 1 / sqrt(fan-in), norms about 1.
 */
export async function randomWeights(config: ModelConfig, { seed = 0, dtype = config.dtype }: RandomWeightsOptions = {}): Promise<ModelWeights> {
  const modelHash = await sha256Hex(JSON.stringify({ GENERATOR_VERSION, config, seed, dtype }));
  const tensor = (spec: TensorSpec, start = 0, count = spec.shape[0]!): RawTensor => randomTensor(spec, { seed, dtype, start, count });
  const mlp = ({ gate, up, down }: MlpSpecs): MlpWeights => ({ gate: tensor(gate), up: tensor(up), down: tensor(down) });
  const head = config.tieWordEmbeddings ? names.embeddingSpec(config) : names.headSpec(config);
  return {
    config: { ...config, dtype },
    modelHash,
    embeddingRows: async (start, count) => tensor(names.embeddingSpec(config), start, count),
    headRows: async (start, count) => tensor(head, start, count),
    finalNorm: async () => tensor(names.finalNormSpec(config)),
    layer: async (layer) => {
      const specs = Object.entries(names.layerSpecs(config, layer));
      const shared = Object.fromEntries(specs.map(([key, spec]) => [key, tensor(spec)])) as unknown as LayerWeights;
      return config.layerIsMoe[layer] ? shared : { ...shared, mlp: mlp(names.denseSpecs(config, layer)) };
    },
    expert: async (layer, expert) => mlp(names.expertSpecs(config, layer, expert)),
    close: async () => {},
  };
}

interface RowRange {
  readonly seed: number;
  readonly dtype: StoredDtype;
  readonly start: number;
  readonly count: number;
}

/** Rows [start, start + count) of a tensor (its elements, when it is a vector). */
export function randomTensor({ name, shape }: TensorSpec, { seed, dtype, start, count }: RowRange): RawTensor {
  const [total, columns = 1] = shape;
  if (!(start >= 0 && count >= 0 && start + count <= total!)) throw new RangeError(`rows ${start} to ${start + count} of ${name}, which has ${total}`);
  const [mean, std] = distribution(name, columns);
  const table = valueTable(dtype, mean, std);
  const out = dtype === 'F32' ? new Float32Array(count * columns) : new Uint16Array(count * columns);
  const tensorSeed = mix(hashText(name) ^ mix(seed));
  for (let row = 0; row < count; row++) fillRow(out, row * columns, columns, table, tensorSeed, start + row);
  return { dtype, shape: [count, ...shape.slice(1)], bytes: new Uint8Array(out.buffer) };
}

function distribution(name: string, columns: number): [mean: number, std: number] {
  if (name.endsWith('norm.weight')) return [1, NORM_STD];
  if (name.endsWith('.bias')) return [0, BIAS_STD];
  return [0, 1 / Math.sqrt(columns)];
}

/** What each sum of four bytes becomes, in the stored type. */
function valueTable(dtype: StoredDtype, mean: number, std: number): Float32Array | Uint16Array {
  const value = (sum: number): number => mean + (std * (sum - (LEVELS - 1) / 2)) / SUM_STD;
  if (dtype === 'F32') return Float32Array.from({ length: LEVELS }, (_, sum) => value(sum));
  return Uint16Array.from({ length: LEVELS }, (_, sum) => (dtype === 'F16' ? f32ToF16 : f32ToBf16)(value(sum)));
}

/** Two words of row seed, so that no row is another one shifted. */
function fillRow(out: Float32Array | Uint16Array, at: number, columns: number, table: Float32Array | Uint16Array, seed: number, row: number): void {
  const a = mix(seed ^ mix(row));
  const b = mix(a + 0x9e3779b9);
  for (let column = 0; column < columns; column++) {
    let h = Math.imul(column, 0x9e3779b1) + a;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b) ^ b;
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    h ^= h >>> 16;
    // Bytes of pairs first: two additions instead of three.
    const pairs = (h & 0x00ff00ff) + ((h >>> 8) & 0x00ff00ff);
    out[at + column] = table[(pairs & 0xffff) + (pairs >>> 16)]!;
  }
}

/** MurmurHash3's finaliser: every input bit reaches every output bit. */
function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}

/** FNV-1a. */
function hashText(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h;
}
