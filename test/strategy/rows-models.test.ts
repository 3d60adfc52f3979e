/** Models that do not split evenly, devices of two kinds in one world, and what rows are on the way. */
import { describe, expect, it } from 'vitest';
import type { Dispatch } from '../../src/engine/split/shape.ts';
import type { WireDtype } from '../../src/runtime/kernels/exchange.ts';
import { defaultPlan } from '../../src/runtime/plan.ts';
import { ROW_STRATEGIES, type RowStrategy } from '../../src/strategy/index.ts';
import type { ExchangeBytes } from '../../src/strategy/row-exchange.ts';
import { adapters, useDevice } from '../runtime/adapters.ts';
import { rowModel, sequencesOf } from './row-models.ts';
import { logitsOf, oneDevice, openRowWorld, undivided, worst } from './row-world.ts';

const [lavapipe, swiftshader] = adapters.map((adapter) => useDevice(adapter)) as [ReturnType<typeof useDevice>, ReturnType<typeof useDevice>];

/** With attention data parallel, four ranks two of the five sequences are rank 0's. */
const sequences = sequencesOf([40, 7, 1, 1, 33]);

/** Ranks, and what makes the split over them uneven or the model special. */
const models: Record<string, readonly [world: number, changes: Record<string, unknown>]> = {
  'one KV head, which all ranks share': [4, { num_hidden_layers: 4, num_attention_heads: 5, num_key_value_heads: 1 }],
  'two groups of two heads for three ranks': [3, {}],
  'three groups of two heads for four ranks': [4, { num_hidden_layers: 4, num_attention_heads: 6, num_key_value_heads: 3 }],
  'three groups of heads for two ranks': [2, { num_attention_heads: 6, num_key_value_heads: 3 }],
  'seven experts': [4, { num_hidden_layers: 4, num_experts: 7, num_experts_per_tok: 3 }],
  'experts of 36 columns: five units of eight, the last one half empty': [3, { moe_intermediate_size: 36 }],
  'a hidden size that is no multiple of eight': [3, { hidden_size: 27, head_dim: 16 }],
  'dense layers, the first and the last among them': [3, { num_hidden_layers: 5, mlp_only_layers: [0, 2, 4] }],
  'five layers, one of them dense, for four ranks': [4, { num_hidden_layers: 5, mlp_only_layers: [2] }],
  'attention biases': [3, { attention_bias: true }],
  'a head tied to the embedding': [2, { tie_word_embeddings: true }],
  'weights of the chosen experts that do not sum to one': [2, { norm_topk_prob: false }],
  'every expert chosen by every token': [4, { num_hidden_layers: 4, num_experts: 4, num_experts_per_tok: 4 }],
  'one expert for each token': [3, { num_experts_per_tok: 1 }],
};

describe.each(Object.keys(models))('a model with %s', (name) => {
  it('has the same logits under every strategy', async () => {
    const [world, changes] = models[name]!;
    const weights = await rowModel(changes);
    const expected = await undivided(lavapipe.gpu, weights, sequences, null);
    for (const strategy of ROW_STRATEGIES) {
      const [logits] = await logitsOf({ weights, strategy, world, gpus: [lavapipe.gpu] }, sequences, null);
      expect(worst(logits!, expected), strategy).toBeLessThan(1e-5);
    }
  });
});

/** Times that rows of a pass through three layers on three ranks are rounded to the wire's type: two for each block that is split, one between stages. */
const roundings: Record<RowStrategy, number> = { ep: 6, 'dp-tp': 6, 'tp-ep': 12, tp: 12, pp: 2 };

describe.each(ROW_STRATEGIES)('under %s', (strategy) => {
  it('ranks on adapters of two kinds agree with one device', async () => {
    const weights = await rowModel({ mlp_only_layers: [1] });
    const expected = await undivided(lavapipe.gpu, weights, sequences, null);
    const gpus = [lavapipe.gpu, swiftshader.gpu];
    for (const logits of await logitsOf({ weights, strategy, world: 3, gpus, chunkTokens: 64 }, sequences, null, 2)) expect(worst(logits, expected)).toBeLessThan(1e-5);
  });

  it('experts that read f16 have the same inputs as on one device', async () => {
    // Every expert is chosen: rounding changes no routing.
    const weights = await rowModel({ num_experts: 4, num_experts_per_tok: 4, mlp_only_layers: [1] });
    const plan = defaultPlan(lavapipe.gpu, { attention: 'f32', experts: 'f16' });
    const expected = await (await oneDevice(lavapipe.gpu, weights, plan))(sequences, null);
    const [logits] = await logitsOf({ weights, strategy, world: 3, gpus: [lavapipe.gpu], plan, chunkTokens: 64 }, sequences, null);
    // Sums in another order may round an input of an expert to its neighbour: 2^-11 of that element, and few of them.
    expect(worst(logits!, expected)).toBeLessThan(2 ** -11);
    expect(worst(logits!, await undivided(lavapipe.gpu, weights, sequences, null)), 'differs from f32').toBeGreaterThan(1e-5);
  });

  it('rows of 16 bits cost a little accuracy and halve the bytes', async () => {
    // Every expert is chosen: rounding changes no routing.
    const weights = await rowModel({ num_experts: 4, num_experts_per_tok: 4 });
    const expected = await undivided(lavapipe.gpu, weights, sequences, null);
    const measure = async (wire: WireDtype) => {
      const world = await openRowWorld({ weights, strategy, world: 3, gpus: [lavapipe.gpu], wire });
      const error = worst(await world.run(0, sequences, null), expected);
      // Not those of packets, whose ids and weights have 32 bits always.
      const rows = world.ranks.map((rank) => sentBytes(rank.takeActivity().bytes, ['reduce-scatter', 'combine', 'stage']));
      await world.close();
      return { error, rows };
    };
    const [f32, f16, bf16] = [await measure('f32'), await measure('f16'), await measure('bf16')];
    expect(f16.rows).toEqual(f32.rows.map((bytes) => bytes / 2));
    expect(bf16.rows).toEqual(f16.rows);
    expect(f32.error).toBeLessThan(1e-5);
    // Each time, rounding to nearest moves an element by 2^-11 of itself at most with f16, by 2^-8 with bf16.
    const times = roundings[strategy];
    expect(f16.error).toBeGreaterThan(2 ** -17);
    expect(f16.error).toBeLessThan(times * 2 ** -11);
    expect(bf16.error).toBeGreaterThan(2 ** -14);
    expect(bf16.error).toBeLessThan(times * 2 ** -8);
  });
});

const sentBytes = (bytes: ExchangeBytes, ops: readonly string[]): number => ops.reduce((sum, op) => sum + (bytes[op]?.sentBytes ?? 0), 0);

describe.each(['ep', 'tp-ep'] satisfies RowStrategy[])('%s with a row for each chosen expert', (strategy) => {
  it.each([2, 3, 4])('has the same logits as with one for each rank, on %i ranks', async (world) => {
    const weights = await rowModel({ num_experts: 7, num_experts_per_tok: 3 });
    const expected = await undivided(lavapipe.gpu, weights, sequences, null);
    for (const dispatch of ['rank', 'expert'] satisfies Dispatch[]) {
      const passes = await logitsOf({ weights, strategy, world, gpus: [lavapipe.gpu], dispatch, chunkTokens: 64 }, sequences, null, 2);
      for (const logits of passes) expect(worst(logits, expected), dispatch).toBeLessThan(1e-5);
    }
  });
});
