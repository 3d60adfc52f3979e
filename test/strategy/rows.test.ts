/** The baselines: every way to split the model gives the logits of the undivided one, over any number of ranks. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine } from '../../src/engine/index.ts';
import { openCheckpoint } from '../../src/model/checkpoint.ts';
import type { ModelWeights } from '../../src/model/types.ts';
import { openFolder } from '../../src/node/files.ts';
import { openGpu, type OpenGpu } from '../../src/node/gpu.ts';
import { pacedWait } from '../../src/node/pacing.ts';
import { readShader } from '../../src/node/shaders.ts';
import { openDevice, type GpuDevice } from '../../src/runtime/device.ts';
import { ROW_STRATEGIES } from '../../src/strategy/index.ts';
import { localSlots } from '../engine/local-slots.ts';
import { fixtureFolder, goldenCases, relativeError } from './golden.ts';
import { openRowWorld, type RowWorldOptions } from './row-world.ts';

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

/** Logits of every sequence on one device that holds everything. */
async function undivided(weights: ModelWeights, sequences: readonly Uint32Array[], candidates: Uint32Array | null): Promise<Float32Array[]> {
  const engine = await createEngine(gpu, weights, { weightDtype: 'f32' });
  const stream = await localSlots(gpu, weights, 'f32');
  const { logits } = await engine.forward({ sequences: sequences.map((tokens) => ({ tokens })), candidates }, stream);
  const width = logits.length / sequences.length;
  return sequences.map((_, i) => logits.slice(i * width, (i + 1) * width));
}

async function logitsOf(options: Omit<RowWorldOptions, 'gpus'>, sequences: readonly Uint32Array[], candidates: Uint32Array | null, passes = 1): Promise<Float32Array[][]> {
  const world = await openRowWorld({ ...options, gpus: [gpu] });
  const results = await Promise.all(Array.from({ length: passes }, (_, pass) => world.run(pass, sequences, candidates)));
  await world.close();
  return results;
}

const worst = (actual: readonly Float32Array[], expected: readonly Float32Array[]): number =>
  Math.max(...expected.map((logits, i) => (actual[i]?.length === logits.length ? relativeError(actual[i] as Float32Array, logits) : Infinity)));

// base-f32: eight experts, four heads over two; mixed-layers: dense layers between; sharded-bf16: seven experts.
describe.each(['base-f32', 'mixed-layers', 'sharded-bf16'])('%s', (name) => {
  describe.each(ROW_STRATEGIES)('under %s', (strategy) => {
    it.each([2, 3, 4])('has the undivided model\'s logits on %i ranks, two passes at a time', async (world) => {
      const weights = await openCheckpoint(await openFolder(fixtureFolder(name)));
      if (strategy === 'pp' && world > weights.config.numHiddenLayers) return; // refused, see below
      const sequences = goldenCases(name, 60).map(({ tokens }) => tokens);
      const expected = await undivided(weights, sequences, null);
      for (const logits of await logitsOf({ weights, strategy, world }, sequences, null, 2)) expect(worst(logits, expected)).toBeLessThan(1e-5);
      await weights.close();
    });
  });
});
