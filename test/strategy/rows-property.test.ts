/** Any small model, batch, number of ranks and setting: the logits are those of one device. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DISPATCHES } from '../../src/engine/split/shape.ts';
import { randomWeights } from '../../src/model/random-weights.ts';
import type { ModelWeights } from '../../src/model/types.ts';
import { ROW_STRATEGIES } from '../../src/strategy/index.ts';
import { referenceLogits } from '../model/reference.ts';
import { adapters, useDevice } from '../runtime/adapters.ts';
import { rowConfig, sequencesOf } from './row-models.ts';
import { logitsOf, undivided, worst } from './row-world.ts';

const rig = useDevice(adapters[0]!);

/** Where two experts are as good as equal, rounding decides, and logits say nothing. */
const SURE_MARGIN = 1e-5;

async function routingMargin(weights: ModelWeights, sequences: readonly Uint32Array[]): Promise<number> {
  let least = Infinity;
  for (const tokens of sequences) await referenceLogits(weights, [...tokens], (_layer, _chosen, margin) => { least = Math.min(least, margin); });
  return least;
}

const integer = (min: number, max: number) => fc.integer({ min, max });

const models = fc.record({
  seed: integer(0, 2 ** 31 - 1), hidden: integer(9, 40), headDim: fc.constantFrom(8, 16, 24), kvHeads: integer(1, 3), group: integer(1, 4),
  experts: integer(4, 9), topK: integer(1, 4), width: integer(25, 44), layers: integer(2, 4), dense: fc.nat(3), bias: fc.boolean(), tied: fc.boolean(), norm: fc.boolean(),
});
const runs = fc.record({
  strategy: fc.constantFrom(...ROW_STRATEGIES), world: integer(1, 4), lengths: fc.array(fc.oneof(integer(1, 6), integer(1, 40)), { minLength: 1, maxLength: 7 }),
  passes: integer(1, 2), dispatch: fc.constantFrom(...DISPATCHES), kv: fc.constantFrom('layer' as const, 'none' as const), offloadLayers: fc.constantFrom(0, 0, 1, 2),
});

describe('any model that can be split, over any ranks', () => {
  it('has the logits of one device', async () => {
    await fc.assert(fc.asyncProperty(models, runs, async (model, { strategy, world, lengths, passes, dispatch, kv, offloadLayers }) => {
      const heads = model.kvHeads * model.group;
      // What cannot be split so is refused (shard.test.ts).
      fc.pre(strategy === 'pp' ? world <= model.layers : strategy === 'ep' || strategy === 'dp-tp' || world <= heads);
      const config = rowConfig({
        hidden_size: model.hidden, head_dim: model.headDim, num_attention_heads: heads, num_key_value_heads: model.kvHeads, num_experts: model.experts,
        num_experts_per_tok: model.topK, moe_intermediate_size: model.width, num_hidden_layers: model.layers,
        mlp_only_layers: model.dense < model.layers ? [model.dense] : [], attention_bias: model.bias, tie_word_embeddings: model.tied, norm_topk_prob: model.norm,
      });
      const weights = await randomWeights(config, { seed: model.seed });
      const sequences = sequencesOf(lengths);
      fc.pre(await routingMargin(weights, sequences) > SURE_MARGIN);
      const expected = await undivided(rig.gpu, weights, sequences, null);
      const options = { weights, strategy, world, gpus: [rig.gpu], dispatch, kv, offloadLayers, chunkTokens: 64 };
      for (const logits of await logitsOf(options, sequences, null, passes)) expect(worst(logits, expected)).toBeLessThan(1e-5);
    }), { numRuns: 12 });
  });
});
