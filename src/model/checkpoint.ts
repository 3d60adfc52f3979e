/**
 * A Hugging Face folder as ModelWeights. Every tensor's name, shape and dtype is checked when the folder is opened, before any
 * weight is read; weights are read by byte range, so an expert costs its own bytes only.
 */
import { InputError } from '../errors.ts';
import { readConfig } from './config.ts';
import { type ModelFiles, show, sourceOf } from './files.ts';
import { hashCheckpoint } from './model-hash.ts';
import { openShards, type SafetensorsFile, type TensorInfo } from './safetensors.ts';
import * as names from './tensor-names.ts';
import type { MlpSpecs, TensorSpec } from './tensor-names.ts';
import type { LayerWeights, MlpWeights, ModelConfig, ModelWeights, RawTensor, StoredDtype } from './types.ts';

/** A tensor with the file that holds it. */
type Located = TensorInfo & { readonly path: string; readonly dtype: StoredDtype };

/** Makes `modelHash` of an opened checkpoint. */
export type NameWeights = typeof hashCheckpoint;

/**
 * Opens a checkpoint: config.json, and model.safetensors or an index with shards.
 * `config.dtype` of the result is what the files hold, whatever config.json says.
 * @param files closed by the result's `close`, and when opening fails
 * @param nameWeights another way to name them, where nobody compares names and reading samples costs (over a network)
 * @throws InputError naming the file, the field or tensor and what was expected
 */
export async function openCheckpoint(files: ModelFiles, nameWeights: NameWeights = hashCheckpoint): Promise<ModelWeights> {
  try {
    const declared = await readConfig(files);
    const shards = await openShards(files);
    const located = locate(files, declared, shards);
    const config: ModelConfig = { ...declared, dtype: located.get(names.EMBEDDING)!.dtype };
    if (config.tieWordEmbeddings) await checkTie(files, shards, config);
    return new Checkpoint(files, config, await nameWeights(files, config, shards), located);
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** Finds every tensor that the configuration asks for. */
function locate(files: ModelFiles, config: ModelConfig, shards: readonly SafetensorsFile[]): Map<string, Located> {
  const found = new Map<string, Located>();
  const where = shards.length === 1 ? sourceOf(files, shards[0]!.path) : `${files.name}/*.safetensors`;
  const has = (name: string): boolean => shards.some((shard) => shard.tensors.has(name));
  for (const spec of requiredTensors(config, has)) {
    const shard = shards.find(({ tensors }) => tensors.has(spec.name));
    if (shard === undefined) throw new InputError(where, spec.name, `is missing; expected a tensor of shape ${show(spec.shape)}`);
    found.set(spec.name, checked(shard, spec, sourceOf(files, shard.path)));
  }
  return found;
}

function checked({ path, tensors }: SafetensorsFile, spec: TensorSpec, source: string): Located {
  const info = tensors.get(spec.name)!;
  if (info.shape.join() !== spec.shape.join()) {
    throw new InputError(source, spec.name, `has shape ${show(info.shape)}; expected ${show(spec.shape)} by config.json`);
  }
  if (info.dtype !== 'F32' && info.dtype !== 'F16' && info.dtype !== 'BF16') {
    throw new InputError(source, spec.name, `has dtype ${info.dtype}; expected F32, F16 or BF16`);
  }
  return { ...info, dtype: info.dtype, path };
}

/** All tensors of the model, for a layer's experts in the form that the checkpoint has. */
function* requiredTensors(config: ModelConfig, has: (name: string) => boolean): Generator<TensorSpec> {
  yield names.embeddingSpec(config);
  if (!config.tieWordEmbeddings) yield names.headSpec(config);
  yield names.finalNormSpec(config);
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    yield* Object.values(names.layerSpecs(config, layer));
    if (!config.layerIsMoe[layer]) yield* Object.values(names.denseSpecs(config, layer));
    else if (has(names.fusedGateUpName(layer))) yield* Object.values(names.fusedSpecs(config, layer));
    else for (let e = 0; e < config.numExperts; e++) yield* Object.values(names.expertSpecs(config, layer, e));
  }
}

/** A tied checkpoint may hold the head as well; then it must be the embedding, or versions of transformers differ in what they use. */
async function checkTie(files: ModelFiles, shards: readonly SafetensorsFile[], config: ModelConfig): Promise<void> {
  const shard = shards.find(({ tensors }) => tensors.has(names.HEAD));
  if (shard === undefined) return;
  const head = checked(shard, names.headSpec(config), sourceOf(files, shard.path));
  const owner = shards.find(({ tensors }) => tensors.has(names.EMBEDDING))!;
  const embedding = checked(owner, names.embeddingSpec(config), sourceOf(files, owner.path));
  const step = 1 << 24;
  for (let at = 0; at < Math.max(head.bytes, embedding.bytes); at += step) {
    const length = Math.min(step, embedding.bytes - at);
    const [a, b] = await Promise.all([files.read(head.path, head.offset + at, length), files.read(embedding.path, embedding.offset + at, length)]);
    if (head.dtype === embedding.dtype && a.every((byte, i) => byte === b[i])) continue;
    throw new InputError(sourceOf(files, 'config.json'), 'tie_word_embeddings',
      `is true, but ${names.HEAD} differs from ${names.EMBEDDING}; expected false, or no ${names.HEAD}`);
  }
}

class Checkpoint implements ModelWeights {
  constructor(
    private readonly files: ModelFiles,
    readonly config: ModelConfig,
    readonly modelHash: string,
    private readonly located: ReadonlyMap<string, Located>,
  ) {}

  embeddingRows(start: number, count: number): Promise<RawTensor> {
    return this.rows(names.EMBEDDING, start, count);
  }

  headRows(start: number, count: number): Promise<RawTensor> {
    return this.rows(this.config.tieWordEmbeddings ? names.EMBEDDING : names.HEAD, start, count);
  }

  finalNorm(): Promise<RawTensor> {
    return this.whole(names.finalNormSpec(this.config));
  }

  async layer(layer: number): Promise<LayerWeights> {
    const specs = Object.entries(names.layerSpecs(this.config, layer));
    const parts = await Promise.all(specs.map(async ([key, spec]) => [key, await this.whole(spec)] as const));
    const shared = Object.fromEntries(parts) as unknown as LayerWeights;
    return this.config.layerIsMoe[layer] ? shared : { ...shared, mlp: await this.mlp(names.denseSpecs(this.config, layer)) };
  }

  async expert(layer: number, expert: number): Promise<MlpWeights> {
    const { numExperts, layerIsMoe } = this.config;
    if (!layerIsMoe[layer] || !(expert >= 0 && expert < numExperts)) throw new RangeError(`no expert ${expert} in layer ${layer}`);
    return this.located.has(names.fusedGateUpName(layer))
      ? this.fusedExpert(layer, expert)
      : this.mlp(names.expertSpecs(this.config, layer, expert));
  }

  close(): Promise<void> {
    return this.files.close();
  }

  private async mlp({ gate, up, down }: MlpSpecs): Promise<MlpWeights> {
    const [g, u, d] = await Promise.all([this.whole(gate), this.whole(up), this.whole(down)]);
    return { gate: g, up: u, down: d };
  }

  private async fusedExpert(layer: number, expert: number): Promise<MlpWeights> {
    const { hiddenSize, moeIntermediateSize: width } = this.config;
    const [gateUp, down] = await Promise.all([
      this.range(names.fusedGateUpName(layer), expert, [2 * width, hiddenSize]),
      this.range(names.fusedDownName(layer), expert, [hiddenSize, width]),
    ]);
    const half = gateUp.bytes.length / 2;
    const part = (begin: number): RawTensor =>
      ({ dtype: gateUp.dtype, shape: [width, hiddenSize], bytes: gateUp.bytes.subarray(begin, begin + half) });
    return { gate: part(0), up: part(half), down };
  }

  private whole({ name, shape }: TensorSpec): Promise<RawTensor> {
    return this.range(name, 0, shape);
  }

  private async rows(name: string, start: number, count: number): Promise<RawTensor> {
    const { vocabSize, hiddenSize } = this.config;
    if (!(start >= 0 && count >= 0 && start + count <= vocabSize)) {
      throw new RangeError(`rows ${start} to ${start + count} of ${name}, which has ${vocabSize}`);
    }
    return this.range(name, start, [count, hiddenSize], hiddenSize);
  }

  /** `shape` elements, `index` units of `unit` elements (a whole shape by default) into the tensor. */
  private async range(name: string, index: number, shape: readonly number[], unit = elementCount(shape)): Promise<RawTensor> {
    const { path, offset, dtype } = this.located.get(name)!;
    const size = dtype === 'F32' ? 4 : 2;
    return { dtype, shape, bytes: await this.files.read(path, offset + index * unit * size, elementCount(shape) * size) };
  }
}

const elementCount = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);
