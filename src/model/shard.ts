/**
 * Parts of a model, as the strategies that split it see them: some heads, some columns of every expert, some experts, some layers. A part is
 * itself a `ModelWeights`, so that whoever uploads or packs weights need not know that it is one.
 */
import { InputError } from '../errors.ts';
import type { LayerWeights, MlpWeights, ModelConfig, ModelWeights, RawTensor } from './types.ts';

/** Indices [first, first + count). */
export interface IndexRange {
  readonly first: number;
  readonly count: number;
}

/** `total` things over `parts` owners, contiguously, sizes differing by at most one, the larger parts first. */
export function partition(total: number, parts: number): IndexRange[] {
  const small = Math.floor(total / parts);
  const larger = total % parts;
  return Array.from({ length: parts }, (_, part) => ({ first: part * small + Math.min(part, larger), count: small + (part < larger ? 1 : 0) }));
}

/** Where parts of these sizes begin when they stand one behind the other; the last entry is their sum. */
export function startsOf(counts: readonly number[]): number[] {
  const starts = [0];
  for (const [i, count] of counts.entries()) starts.push((starts[i] as number) + count);
  return starts;
}

const elementBytes = ({ dtype }: RawTensor): number => (dtype === 'F32' ? 4 : 2);

/** Rows [first, first + count) of a matrix, or elements of a vector; shares the bytes. */
export function sliceRows(tensor: RawTensor, { first, count }: IndexRange): RawTensor {
  const [, ...rest] = tensor.shape;
  const rowBytes = rest.reduce((product, size) => product * size, 1) * elementBytes(tensor);
  return { dtype: tensor.dtype, shape: [count, ...rest], bytes: tensor.bytes.subarray(first * rowBytes, (first + count) * rowBytes) };
}

/** Columns [first, first + count) of a matrix, copied. */
export function sliceColumns(tensor: RawTensor, { first, count }: IndexRange): RawTensor {
  const [rows = 0, columns = 0] = tensor.shape;
  const size = elementBytes(tensor);
  const bytes = new Uint8Array(rows * count * size);
  for (let row = 0; row < rows; row++) {
    const start = (row * columns + first) * size;
    bytes.set(tensor.bytes.subarray(start, start + count * size), row * count * size);
  }
  return { dtype: tensor.dtype, shape: [rows, count], bytes };
}

/** The attention heads of one rank: every query head stands with its key-value head. */
export interface HeadRange {
  readonly query: IndexRange;
  readonly keyValue: IndexRange;
}

type Heads = Pick<ModelConfig, 'numAttentionHeads' | 'numKeyValueHeads'>;

/**
 * Splits heads over ranks: whole groups (a key-value head with its query heads) while there are enough of them; with more ranks than
 * key-value heads, ranks share one and split its query heads (the keys and values are then computed more than once).
 * @throws InputError when a rank would have no query head
 */
export function splitHeads({ numAttentionHeads, numKeyValueHeads }: Heads, world: number): HeadRange[] {
  const group = numAttentionHeads / numKeyValueHeads;
  if (world > numAttentionHeads) {
    throw new InputError('--ranks', '', `${world} ranks cannot split ${numAttentionHeads} attention heads; expected at most one rank a head, or a strategy that does not split heads`);
  }
  if (world <= numKeyValueHeads) {
    return partition(numKeyValueHeads, world).map((keyValue) => ({ keyValue, query: { first: keyValue.first * group, count: keyValue.count * group } }));
  }
  // No group has more ranks than heads: there are no more ranks than heads in all, and groups are of one size.
  return partition(world, numKeyValueHeads).flatMap(({ count: ranks }, head) =>
    partition(group, ranks).map(({ first, count }) => ({ keyValue: { first: head, count: 1 }, query: { first: head * group + first, count } })));
}

/** Columns of an expert that are not cut apart: the cell of packed weights. */
const WIDTH_UNIT = 8;

/**
 * Splits the width of experts over ranks, in units of 8 columns.
 * @throws InputError when a rank would have none
 */
export function splitWidth({ moeIntermediateSize }: Pick<ModelConfig, 'moeIntermediateSize'>, world: number): IndexRange[] {
  const units = Math.ceil(moeIntermediateSize / WIDTH_UNIT);
  if (world > units) throw new InputError('--ranks', '', `${world} ranks cannot split an expert width of ${moeIntermediateSize}; expected at most ${units}, or a strategy that does not split experts`);
  return partition(units, world).map(({ first, count }) => {
    const start = first * WIDTH_UNIT;
    return { first: start, count: Math.min(count * WIDTH_UNIT, moeIntermediateSize - start) };
  });
}

/**
 * Splits layers over pipeline stages, contiguously, so that the most expensive stage is as cheap as possible.
 * @param costs of each layer, in any unit
 * @throws InputError when a stage would have no layer
 */
export function splitLayers(costs: readonly number[], world: number): IndexRange[] {
  if (world > costs.length) throw new InputError('--ranks', '', `${world} pipeline stages asked for, but the model has ${costs.length} layers; expected at most one stage a layer`);
  const total = (first: number, end: number): number => costs.slice(first, end).reduce((sum, cost) => sum + cost, 0);
  // best[s][n]: the first n layers on s + 1 stages.
  type Split = { worst: number; starts: number[] };
  let best: Split[] = Array.from({ length: costs.length + 1 }, (_, n) => ({ worst: total(0, n), starts: [0] }));
  for (let stage = 1; stage < world; stage++) {
    best = best.map((_, n) => {
      let choice: Split = { worst: Infinity, starts: [] };
      for (let cut = stage; cut < n; cut++) {
        const before = best[cut] as Split;
        const worst = Math.max(before.worst, total(cut, n));
        if (worst < choice.worst) choice = { worst, starts: [...before.starts, cut] };
      }
      return choice;
    });
  }
  const { starts } = best[costs.length] as Split;
  return starts.map((first, i) => ({ first, count: (starts[i + 1] ?? costs.length) - first }));
}

const mapMlp = (mlp: MlpWeights, range: IndexRange): MlpWeights => ({
  gate: sliceRows(mlp.gate, range), up: sliceRows(mlp.up, range), down: sliceColumns(mlp.down, range),
});

/** The heads of one rank: projections of these heads only. The output projection's bias is the first rank's, or it would be added by all. */
export function shardHeads(weights: ModelWeights, { query, keyValue }: HeadRange): ModelWeights {
  const { headDim } = weights.config;
  const rows = ({ first, count }: IndexRange): IndexRange => ({ first: first * headDim, count: count * headDim });
  const [q, kv] = [rows(query), rows(keyValue)];
  const slice = ({ oBias, qBias, kBias, vBias, ...layer }: LayerWeights): LayerWeights => ({
    ...layer,
    qProj: sliceRows(layer.qProj, q), kProj: sliceRows(layer.kProj, kv), vProj: sliceRows(layer.vProj, kv), oProj: sliceColumns(layer.oProj, q),
    ...(qBias && { qBias: sliceRows(qBias, q) }), ...(kBias && { kBias: sliceRows(kBias, kv) }), ...(vBias && { vBias: sliceRows(vBias, kv) }),
    ...(oBias && query.first === 0 && { oBias }),
  });
  return {
    ...delegate(weights),
    config: { ...weights.config, numAttentionHeads: query.count, numKeyValueHeads: keyValue.count },
    layer: async (layer) => slice(await weights.layer(layer)),
  };
}

/** Some columns of every expert. Dense layers stay whole. */
export const shardWidth = (weights: ModelWeights, range: IndexRange): ModelWeights => ({
  ...delegate(weights),
  config: { ...weights.config, moeIntermediateSize: range.count },
  expert: async (layer, expert) => mapMlp(await weights.expert(layer, expert), range),
});

/** A stage of the pipeline: its layers, counted from 0. */
export const shardLayers = (weights: ModelWeights, { first, count }: IndexRange): ModelWeights => ({
  ...delegate(weights),
  config: { ...weights.config, numHiddenLayers: count, layerIsMoe: weights.config.layerIsMoe.slice(first, first + count) },
  layer: (layer) => weights.layer(first + layer),
  expert: (layer, expert) => weights.expert(first + layer, expert),
});

/** All members of `weights` as own properties, whatever it is made of. */
const delegate = (weights: ModelWeights): ModelWeights => ({
  config: weights.config,
  modelHash: weights.modelHash,
  embeddingRows: (start, count) => weights.embeddingRows(start, count),
  headRows: (start, count) => weights.headRows(start, count),
  finalNorm: () => weights.finalNorm(),
  layer: (layer) => weights.layer(layer),
  expert: (layer, expert) => weights.expert(layer, expert),
  close: () => weights.close(),
});
