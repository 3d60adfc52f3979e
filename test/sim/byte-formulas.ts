/** Bytes of runs as the collectives' own formulas have them, from the dimensions alone. */
import { STRATEGY_KINDS, type WorldShape } from '../../src/sim/run-shape.ts';

/** Sequences of each rank, or one list of all. */
export type Parts = readonly (readonly number[])[];

export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Contiguous parts that differ by one at most, the larger first. */
const split = (total: number, parts: number): number[] => Array.from({ length: parts }, (_, part) => Math.floor(total / parts) + (part < total % parts ? 1 : 0));

/** The rank of each token of a batch that all ranks see: chunk by chunk of 2048. */
const ownersOf = (tokens: number, ranks: number): number[] =>
  Array.from({ length: Math.ceil(tokens / 2048) }, (_, chunk) => split(Math.min(2048, tokens - chunk * 2048), ranks).flatMap((count, rank) => Array.from({ length: count }, () => rank))).flat();

const tally = (owners: readonly number[], ranks: number): number[] => Array.from({ length: ranks }, (_, rank) => owners.filter((owner) => owner === rank).length);

/** Rows of each rank in one pass: of all tokens, and of the last ones. */
function rowsOf({ strategy, ranks }: WorldShape, parts: Parts): { all: number[]; last: number[] } {
  if (strategy === 'ep' || strategy === 'dp-tp') return { all: parts.map(sum), last: parts.map(({ length }) => length) };
  const lengths = parts.flat();
  const owners = ownersOf(sum(lengths), ranks);
  return { all: tally(owners, ranks), last: tally(lengths.map((_, i) => owners[sum(lengths.slice(0, i + 1)) - 1] as number), ranks) };
}

/** All choices of `k` of `n`. */
function choices(n: number, k: number, from = 0): number[][] {
  if (k === 0) return [[]];
  return Array.from({ length: n - from }, (_, i) => from + i).flatMap((first) => choices(n, k - 1, first + 1).map((rest) => [first, ...rest]));
}

/** Rows that a token sends to each rank, if every choice of experts is as likely as any other: the mean over all of them. */
function dispatched({ config: { numExperts, numExpertsPerTok }, ranks, dispatch }: WorldShape): number[] {
  const owners = split(numExperts, ranks).flatMap((count, rank) => Array.from({ length: count }, () => rank));
  const all = choices(numExperts, numExpertsPerTok).map((experts) => experts.map((expert) => owners[expert] as number));
  return Array.from({ length: ranks }, (_, rank) => sum(all.map((to) => (dispatch === 'rank' ? Number(to.includes(rank)) : to.filter((one) => one === rank).length))) / all.length);
}

/** Bytes that each rank sends and receives, row by row, as the collectives' formulas have them (test/strategy/row-bytes.ts). */
export function rowBytes(shape: WorldShape, passes: readonly Parts[]): { sent: number[]; received: number[] } {
  const { config, strategy, ranks, wire, dispatch } = shape;
  const { hiddenSize, layerIsMoe, numExpertsPerTok: k } = config;
  const row = wire === 'f32' ? 4 * hiddenSize : 4 * Math.ceil(hiddenSize / 2);
  const bytes = { sent: split(0, ranks), received: split(0, ranks) };
  const move = (from: number, to: number, count: number): void => {
    if (from === to) return;
    (bytes.sent[from] as number) += count;
    (bytes.received[to] as number) += count;
  };
  const rowsTo = strategy === 'ep' || strategy === 'tp-ep' ? dispatched(shape) : [];
  for (const parts of passes) {
    if (strategy === 'pp') {
      for (let stage = 0; stage + 1 < ranks; stage++) move(stage, stage + 1, sum(parts.flat()) * row);
      continue;
    }
    const { all, last } = rowsOf(shape, parts);
    for (const [layer, isMoe] of layerIsMoe.entries()) {
      const going = layer === layerIsMoe.length - 1 ? last : all;
      for (let owner = 0; owner < ranks; owner++) {
        for (let other = 0; other < ranks; other++) {
          const rows = going[owner] as number;
          if (strategy.startsWith('tp')) move(owner, other, (all[owner] as number) * row);
          if (strategy.startsWith('tp')) move(other, owner, rows * row);
          if (!isMoe) continue;
          const byColumns = strategy === 'tp' || strategy === 'dp-tp';
          const copies = byColumns ? rows : rows * (rowsTo[other] as number);
          move(owner, other, copies * (row + 8 * (byColumns || dispatch === 'rank' ? k : 1)));
          move(other, owner, copies * row);
        }
      }
    }
  }
  return bytes;
}

const expertBytes = ({ config }: WorldShape): number => 3 * config.hiddenSize * config.moeIntermediateSize * 2;
const streamedLayers = ({ config }: WorldShape): number => config.layerIsMoe.filter(Boolean).length - 1;

/** In each of its passes a rank reads what the others have of every layer but the first. */
export function weightBytes(shape: WorldShape, passes: readonly number[]): { sent: number[]; received: number[] } {
  const experts = shape.config.numExperts;
  const own = split(experts, shape.ranks);
  const read = passes.map((count) => (shape.strategy === 'resident' ? 0 : count * streamedLayers(shape) * expertBytes(shape)));
  return {
    received: own.map((count, rank) => (read[rank] as number) * (experts - count)),
    sent: own.map((count, rank) => count * (sum(read) - (read[rank] as number))),
  };
}

/**
 * Bytes that each rank's device takes from host memory: own experts, or own columns of all, of every layer but the first that the rank has.
 * @param passes of each rank
 * @param rounds of all ranks together
 * @param layersOf layers that a rank has, under `pp`
 */
export function hostBytes(shape: WorldShape, { passes, rounds, layersOf }: { passes: readonly number[]; rounds: number; layersOf: (rank: number) => ReadonlySet<number> }): number[] {
  const { strategy, ranks, offload, config: { numExperts, moeIntermediateSize: width, layerIsMoe } } = shape;
  return split(numExperts, ranks).map((owned, rank) => {
    if ((offload?.layers ?? 0) === 0) return 0;
    if (strategy === 'pp') {
      const layers = layersOf(rank);
      const moe = layerIsMoe.filter((isMoe, layer) => isMoe && layers.has(layer)).length;
      return (passes[rank] as number) * Math.max(0, moe - 1) * numExperts * expertBytes(shape);
    }
    if (STRATEGY_KINDS[strategy] === 'streaming') return (passes[rank] as number) * streamedLayers(shape) * owned * expertBytes(shape);
    const part = strategy === 'ep' || strategy === 'tp-ep' ? owned : (numExperts * 8 * (split(width / 8, ranks)[rank] as number)) / width;
    return rounds * streamedLayers(shape) * part * expertBytes(shape);
  });
}
