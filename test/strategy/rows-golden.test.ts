/** Logits of Hugging Face transformers, reached by every strategy that moves rows. */
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/model/checkpoint.ts';
import { openFolder } from '../../src/node/files.ts';
import { ROW_STRATEGIES } from '../../src/strategy/index.ts';
import { adapters, useDevice } from '../runtime/adapters.ts';
import { fixtureFolder, goldenCases } from './golden.ts';
import { logitsOf, worst } from './row-world.ts';

const rig = useDevice(adapters[0]!);

/** Of each fixture, what it adds: MoE layers only; dense layers between; attention biases and seven experts; a tied head, three heads over one, no renormalisation. */
const fixtures = ['base-f32', 'mixed-layers', 'sharded-bf16', 'tied-f16'] as const;

describe.each(fixtures)('the logits of %s', (name) => {
  it.each(ROW_STRATEGIES)('under %s are those of transformers', async (strategy) => {
    const weights = await openCheckpoint(await openFolder(fixtureFolder(name)));
    const cases = goldenCases(name, 130);
    const sequences = cases.map(({ tokens }) => tokens);
    const [logits] = await logitsOf({ weights, strategy, world: 2, gpus: [rig.gpu], chunkTokens: 64 }, sequences, null);
    expect(worst(logits!, cases.map((golden) => golden.logits))).toBeLessThan(1e-4);
    await weights.close();
  });
});
