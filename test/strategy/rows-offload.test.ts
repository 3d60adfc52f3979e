/** Experts of a rank's own that stay in host memory and come to the device layer by layer, under strategies that move rows. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROW_STRATEGIES } from '../../src/strategy/index.ts';
import { adapters, useDevice } from '../runtime/adapters.ts';
import { rowModel, sequencesOf } from './row-models.ts';
import { oneDevice, openRowWorld, worst, type Answer, type RowWorld } from './row-world.ts';

const rig = useDevice(adapters[0]!);

// Six layers, two of them dense: every stage of two has more MoE layers than a window of one holds.
const model = () => rowModel({ num_hidden_layers: 6, mlp_only_layers: [0, 3] });

let onOneDevice: Answer;
beforeAll(async () => {
  onOneDevice = await oneDevice(rig.gpu, await model());
});

describe.each(ROW_STRATEGIES)('%s with its experts in host memory', (strategy) => {
  describe.each([1, 2])('in a window of %i', (offloadLayers) => {
    let world: RowWorld;
    beforeAll(async () => {
      world = await openRowWorld({ weights: await model(), strategy, world: 2, gpus: [rig.gpu], chunkTokens: 64, offloadLayers });
    });
    afterAll(() => world.close());

    it('has the undivided model\'s logits for two passes at a time, one after the other, and one alone', async () => {
      const batches = [[30, 90, 2], [5], [64, 1, 1], [100, 7]].map((lengths) => sequencesOf(lengths));
      const expected: Float32Array[][] = [];
      for (const sequences of batches) expected.push(await onOneDevice(sequences, null));
      const run = async (batch: number, pass: number): Promise<void> =>
        expect(worst(await world.run(pass, batches[batch]!, null), expected[batch]!), `batch ${batch} as pass ${pass}`).toBeLessThan(1e-5);
      // Two lanes, neither of which waits for the other between passes.
      const lane = async (order: readonly number[], first: number): Promise<void> => {
        for (const [i, batch] of order.entries()) await run(batch, first + 2 * i);
      };
      await Promise.all([lane([0, 1, 2], 0), lane([3, 0, 1], 1)]);
      await run(2, 6);
    });
  });
});
