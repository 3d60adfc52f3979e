/** The baselines: every way to split the model gives the logits of the undivided one, over any number of ranks. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/model/checkpoint.ts';
import { openFolder } from '../../src/node/files.ts';
import { openGpu, type OpenGpu } from '../../src/node/gpu.ts';
import { pacedWait } from '../../src/node/pacing.ts';
import { readShader } from '../../src/node/shaders.ts';
import { openDevice, type GpuDevice } from '../../src/runtime/device.ts';
import { ROW_STRATEGIES } from '../../src/strategy/index.ts';
import { fixtureFolder, goldenCases } from './golden.ts';
import { logitsOf, undivided, worst } from './row-world.ts';

let opened: OpenGpu;
let gpu: GpuDevice;
beforeAll(async () => {
  opened = await openGpu('lavapipe');
  gpu = await openDevice(opened.adapter, { shaders: readShader, wait: pacedWait });
});
afterAll(() => {
  gpu.close();
  opened.close();
});

// base-f32: eight experts, four heads over two; mixed-layers: dense layers between; sharded-bf16: seven experts.
describe.each(['base-f32', 'mixed-layers', 'sharded-bf16'])('%s', (name) => {
  describe.each(ROW_STRATEGIES)('under %s', (strategy) => {
    it.each([2, 3, 4])('has the undivided model\'s logits on %i ranks, two passes at a time', async (world) => {
      const weights = await openCheckpoint(await openFolder(fixtureFolder(name)));
      const sequences = goldenCases(name, 60).map(({ tokens }) => tokens);
      const ranks = strategy === 'pp' ? Math.min(world, weights.config.numHiddenLayers) : world; // more stages than layers are refused
      const expected = await undivided(gpu, weights, sequences, null);
      for (const logits of await logitsOf({ weights, strategy, world: ranks, gpus: [gpu] }, sequences, null, 2)) expect(worst(logits, expected)).toBeLessThan(1e-5);
      await weights.close();
    });
  });
});
