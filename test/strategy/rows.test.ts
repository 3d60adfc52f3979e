/** The baselines: every way to split the model gives the logits of the undivided one, over any number of ranks. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/model/checkpoint.ts';
import { openFolder } from '../../src/node/files.ts';
import { ROW_STRATEGIES, type RowStrategy } from '../../src/strategy/index.ts';
import { sharedDevice } from './device.ts';
import { fixtureFolder, goldenCases } from './golden.ts';
import { logitsOf, undivided, worst } from './row-world.ts';

const device = sharedDevice();

const LARGEST_WORLD = 4;
const layersOf = (name: string): number => (JSON.parse(readFileSync(`${fixtureFolder(name)}/config.json`, 'utf8')) as { num_hidden_layers: number }).num_hidden_layers;
/** A pipeline has at most a stage a layer. */
const worldsOf = (name: string, strategy: RowStrategy): number[] => [2, 3, LARGEST_WORLD].filter((world) => strategy !== 'pp' || world <= layersOf(name));

// base-f32: eight experts, four heads over two; mixed-layers: dense layers between; sharded-bf16: seven experts.
describe.each(['base-f32', 'mixed-layers', 'sharded-bf16'])('%s', (name) => {
  describe.each(ROW_STRATEGIES)('under %s', (strategy) => {
    it.each(worldsOf(name, strategy))('has the undivided model\'s logits on %i ranks, two passes at a time', async (world) => {
      const { gpu } = device;
      const weights = await openCheckpoint(await openFolder(fixtureFolder(name)));
      const sequences = goldenCases(name, 60).map(({ tokens }) => tokens);
      const expected = await undivided(gpu, weights, sequences, null);
      for (const logits of await logitsOf({ weights, strategy, world, gpus: [gpu] }, sequences, null, 2)) expect(worst(logits, expected)).toBeLessThan(1e-5);
      await weights.close();
    });
  });
});

it('a pipeline of more stages than layers is refused', async () => {
  const weights = await openCheckpoint(await openFolder(fixtureFolder('sharded-bf16')));
  const refused = logitsOf({ weights, strategy: 'pp', world: layersOf('sharded-bf16') + 1, gpus: [device.gpu] }, [Uint32Array.of(1)], null);
  await expect(refused).rejects.toThrow('pipeline stages asked for, but the model has');
  await weights.close();
});
