/** What strategies that move rows send and receive, to the byte. */
import { describe, expect, it } from 'vitest';
import { DISPATCHES, type Dispatch } from '../../src/engine/split/shape.ts';
import { WIRE_DTYPES, type WireDtype } from '../../src/runtime/kernels/exchange.ts';
import { ROW_STRATEGIES, type RowStrategy } from '../../src/strategy/index.ts';
import { adapters, useDevice } from '../runtime/adapters.ts';
import { expectedBytes, routingOf } from './row-bytes.ts';
import { rowModel, sequencesOf } from './row-models.ts';
import { openRowWorld } from './row-world.ts';

const rig = useDevice(adapters[0]!);

type Bytes = Record<string, { sentBytes: number; receivedBytes: number }>;

interface Case {
  readonly strategy: RowStrategy;
  readonly world: number;
  readonly wire: WireDtype;
  readonly dispatch: Dispatch;
  readonly changes?: Record<string, unknown>;
}

const total = (counts: readonly Bytes[], key: 'sentBytes' | 'receivedBytes'): number =>
  counts.flatMap((ops) => Object.values(ops).map((op) => op[key])).reduce((sum, bytes) => sum + bytes, 0);

/** Bytes of each rank in one pass, without operations that moved none. */
async function measure({ strategy, world, wire, dispatch, changes }: Case, lengths: readonly number[], chunkTokens: number): Promise<Bytes[]> {
  const ranks = await openRowWorld({ weights: await rowModel(changes), strategy, world, gpus: [rig.gpu], wire, dispatch, chunkTokens });
  await ranks.run(0, sequencesOf(lengths), null);
  const counts = ranks.ranks.map((rank) => rank.takeActivity().bytes);
  // What the exchanges count is what went over the link.
  for (const [rank, messenger] of ranks.messengers.entries()) {
    expect(messenger.transferred()).toEqual({ sentBytes: total([counts[rank]!], 'sentBytes'), receivedBytes: total([counts[rank]!], 'receivedBytes') });
  }
  await ranks.close();
  return counts.map((ops) => Object.fromEntries(Object.entries(ops).filter(([, { sentBytes, receivedBytes }]) => sentBytes + receivedBytes > 0)));
}

const cases: Case[] = ROW_STRATEGIES.flatMap((strategy) => [3, 4].flatMap((world, i) =>
  DISPATCHES.filter((dispatch) => dispatch === 'rank' || strategy === 'ep' || strategy === 'tp-ep')
    // Rounding to 16 bits could change a choice, and with it the bytes of a dispatch.
    .map((dispatch) => ({ strategy, world, dispatch, wire: strategy === 'ep' || strategy === 'tp-ep' ? 'f32' : WIRE_DTYPES[i]! }))));

describe.each(cases)('$strategy on $world ranks, rows in $wire, a packet for each $dispatch', (options) => {
  it('sends and receives what the formulas say, rank by rank and operation by operation', async () => {
    // Nothing comes out even: seven experts, 27 elements a row, a dense layer, several chunks, ranks with more and fewer tokens.
    const changes = { hidden_size: 27, num_hidden_layers: 4, num_experts: 7, num_experts_per_tok: 3, mlp_only_layers: [1] };
    const lengths = [70, 9, 1, 33, 2];
    const weights = await rowModel(changes);
    const routing = await routingOf(weights, sequencesOf(lengths));
    const expected = expectedBytes({ config: weights.config, ...options, chunkTokens: 64, lengths, routing });
    const counts = await measure({ ...options, changes }, lengths, 64);
    expect(counts).toEqual(expected);
    expect(total(counts, 'sentBytes')).toBe(total(counts, 'receivedBytes'));
  });
});

/**
 * The closed forms of paper section 4, where everything divides evenly. It counts what is sent and what is received; here one of the two, of all
 * ranks together. Every token is the last of its sequence, so that the last layer moves as much as the others.
 */
describe('where tokens and experts divide evenly, in 16 bits', () => {
  const [layers, tokens, hidden, k, bytes] = [3, 24, 32, 4, 2];
  const lengths = Array.from({ length: tokens }, () => 1);
  const BSHb = tokens * hidden * bytes;
  // Every token chooses every expert: routing is uniform.
  const changes = { num_hidden_layers: layers, hidden_size: hidden, num_experts: k, num_experts_per_tok: k };
  const sent = async (strategy: RowStrategy, world: number, dispatch: Dispatch = 'rank'): Promise<number[]> => {
    const counts = await measure({ strategy, world, wire: 'bf16', dispatch, changes }, lengths, 64);
    return counts.map((ops) => total([ops], 'sentBytes'));
  };
  const everyRank = (world: number, value: number): number[] => Array.from({ length: world }, () => value);

  describe.each([2, 4])('a layer on %i ranks sends', (P) => {
    /** Ids and weights that a rank's packets carry beside the rows: 8 bytes a choice. */
    const gathered = ((P - 1) / P) * tokens * 8 * k;

    it('2 (P - 1) / P B S H b from each rank under dp-tp: an AllGather and a ReduceScatter', async () => {
      expect(await sent('dp-tp', P)).toEqual(everyRank(P, layers * (2 * ((P - 1) / P) * BSHb + gathered)));
    });

    it('4 (P - 1) / P B S H b from each rank under tp: two AllReduces', async () => {
      expect(await sent('tp', P)).toEqual(everyRank(P, layers * (4 * ((P - 1) / P) * BSHb + gathered)));
    });

    it('2 k (P - 1) / P B S H b from all ranks together under ep with a packet for each expert: two AllToAlls', async () => {
      const perLayer = 2 * k * ((P - 1) / P) * BSHb + k * ((P - 1) / P) * tokens * 8;
      expect(await sent('ep', P, 'expert')).toEqual(everyRank(P, (layers * perLayer) / P));
    });

    it('2 (P - 1) B S H b from all ranks together under ep with a packet for each rank: a copy for every other one', async () => {
      const perLayer = 2 * (P - 1) * BSHb + (P - 1) * tokens * 8 * k;
      expect(await sent('ep', P, 'rank')).toEqual(everyRank(P, (layers * perLayer) / P));
    });

    it('an AllReduce, 2 (P - 1) / P B S H b from each rank, and the two AllToAlls under tp-ep', async () => {
      const perLayer = 2 * ((P - 1) / P) * BSHb + (2 * k * ((P - 1) / P) * BSHb + k * ((P - 1) / P) * tokens * 8) / P;
      expect(await sent('tp-ep', P, 'expert')).toEqual(everyRank(P, layers * perLayer));
    });
  });

  it.each([2, 3])('a boundary of %i stages is crossed by B S H b under pp', async (P) => {
    expect(await sent('pp', P)).toEqual([...everyRank(P - 1, BSHb), 0]);
  });
});
