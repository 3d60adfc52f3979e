/**
 * Bytes that each rank sends and receives, counted from the collectives' formulas and the routing of the float64 reference. With n_p rows at
 * rank p of P:
 *
 *     all-gather      sent (P - 1) n_r packet             received sum of n_p packet over the other ranks
 *     reduce-scatter  sent sum of n_p row over the others  received (P - 1) n_r row
 *     dispatch        a packet for every (token, other rank that has one of its experts), or for every chosen expert elsewhere
 *     combine         a row back for each of these
 *     stage           a row for each token, to the next stage
 */
import type { Dispatch } from '../../src/engine/split/shape.ts';
import type { ModelConfig, ModelWeights } from '../../src/model/types.ts';
import type { WireDtype } from '../../src/runtime/kernels/exchange.ts';
import type { RowStrategy } from '../../src/strategy/index.ts';
import { referenceLogits } from '../model/reference.ts';

/** Experts that each token chose: [sequence][layer][token][k]; of a dense layer, none. */
export type Routing = readonly (readonly (readonly (readonly number[])[] | undefined)[])[];

export async function routingOf(weights: ModelWeights, sequences: readonly Uint32Array[]): Promise<Routing> {
  return Promise.all(sequences.map(async (tokens) => {
    const layers: (readonly (readonly number[])[])[] = [];
    await referenceLogits(weights, [...tokens], (layer, chosen) => { layers[layer] = chosen; });
    return layers;
  }));
}

export interface Setting {
  readonly config: ModelConfig;
  readonly strategy: RowStrategy;
  readonly world: number;
  readonly wire: WireDtype;
  readonly dispatch: Dispatch;
  readonly chunkTokens: number;
  readonly lengths: readonly number[];
  readonly routing: Routing;
}

type Counts = Record<string, { sentBytes: number; receivedBytes: number }>;

/** Contiguous parts that differ by one at most, the larger first; the part of item `i`. */
function partOf(i: number, total: number, parts: number): number {
  for (let part = 0, end = 0; part < parts; part++) {
    end += Math.floor(total / parts) + (part < total % parts ? 1 : 0);
    if (i < end) return part;
  }
  throw new RangeError(`${i} of ${total}`);
}

/** Tokens of the batch, with the rank that keeps the residual row of each. */
function tokensOf({ strategy, world, lengths, chunkTokens }: Setting): { sequence: number; token: number; rank: number; isLast: boolean }[] {
  const places = lengths.flatMap((length, sequence) => Array.from({ length }, (_, token) => ({ sequence, token, isLast: token === length - 1 })));
  if (strategy === 'ep' || strategy === 'dp-tp') return places.map((place) => ({ ...place, rank: place.sequence % world }));
  return places.map((place, i) => {
    const start = i - (i % chunkTokens);
    return { ...place, rank: partOf(i - start, Math.min(chunkTokens, places.length - start), world) };
  });
}

/** Bytes of every rank by operation; operations that move nothing are left out. */
export function expectedBytes(setting: Setting): Counts[] {
  const { config, strategy, world, wire, dispatch, routing } = setting;
  const { hiddenSize, numExperts, numExpertsPerTok: k, layerIsMoe } = config;
  const row = wire === 'f32' ? 4 * hiddenSize : 4 * Math.ceil(hiddenSize / 2);
  const packet = (choices: number): number => row + 8 * choices;
  const counts: Counts[] = Array.from({ length: world }, () => ({}));
  const move = (op: string, from: number, to: number, bytes: number): void => {
    if (from === to) return;
    (counts[from]![op] ??= { sentBytes: 0, receivedBytes: 0 }).sentBytes += bytes;
    (counts[to]![op] ??= { sentBytes: 0, receivedBytes: 0 }).receivedBytes += bytes;
  };
  const tokens = tokensOf(setting);
  if (strategy === 'pp') {
    for (let stage = 0; stage + 1 < world; stage++) move('stage', stage, stage + 1, tokens.length * row);
    return counts;
  }
  const ranks = Array.from({ length: world }, (_, rank) => rank);
  const gather = (owner: number, bytes: number): void => ranks.forEach((to) => move('all-gather', owner, to, bytes));
  const reduce = (owner: number): void => ranks.forEach((from) => move('reduce-scatter', from, owner, row));
  for (const [layer, isMoe] of layerIsMoe.entries()) {
    // In the last layer keys and values need all tokens, everything else the last ones only.
    const going = layer === config.numHiddenLayers - 1 ? tokens.filter(({ isLast }) => isLast) : tokens;
    if (strategy === 'tp' || strategy === 'tp-ep') {
      for (const { rank } of tokens) gather(rank, packet(0));
      for (const { rank } of going) reduce(rank);
    }
    if (!isMoe) continue;
    for (const { rank, sequence, token } of going) {
      if (strategy === 'tp' || strategy === 'dp-tp') {
        gather(rank, packet(k));
        reduce(rank);
        continue;
      }
      const owners = routing[sequence]![layer]![token]!.map((expert) => partOf(expert, numExperts, world));
      for (const owner of dispatch === 'rank' ? new Set(owners) : owners) {
        move('dispatch', rank, owner, packet(dispatch === 'rank' ? k : 1));
        move('combine', owner, rank, row);
      }
    }
  }
  return counts;
}
