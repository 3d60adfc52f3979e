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
      const run = async (batch: number, pass: number, together: number): Promise<void> =>
        expect(worst(await world.run(pass, batches[batch]!, null, together), expected[batch]!), `batch ${batch} as pass ${pass}`).toBeLessThan(1e-5);
      // As a cluster does it: the next pass begins when one of two has ended, and rounds are pairs.
      const order = [0, 3, 1, 0, 2, 1, 2];
      let next = 0;
      const lane = async (): Promise<void> => {
        for (let pass = next++; pass < order.length; pass = next++) await run(order[pass]!, pass, pass < 6 ? 2 : 1);
      };
      await Promise.all([lane(), lane()]);
    });
  });
});

describe('a second pass that begins on one rank before, and on another after the first has given layers back', () => {
  it('ends on both: ranks agree which passes share a window', async () => {
    const sequences = sequencesOf([20, 30]);
    const lengths = [[20], [30]];
    let atLayer2!: () => void;
    const firstIsAhead = new Promise<void>((resolve) => (atLayer2 = resolve));
    const world = await openRowWorld({
      weights: await model(), strategy: 'ep', world: 2, gpus: [rig.gpu], offloadLayers: 1,
      onExchange: (rank, { pass, layer }) => { if (rank === 1 && pass === 0 && layer >= 2) atLayer2(); },
    });
    const forward = (rank: number, pass: number) => world.ranks[rank]!.forward({ pass, sequences: [sequences[rank]!], lengths, candidates: null, together: 2 });
    const passes = [forward(0, 0), forward(0, 1), forward(1, 0), firstIsAhead.then(() => forward(1, 1))];
    const expected = await onOneDevice(sequences, null);
    for (const [i, { logits }] of (await Promise.all(passes)).entries()) expect(worst([logits], [expected[i < 2 ? 0 : 1]!])).toBeLessThan(1e-5);
    await world.close();
  }, 10_000);
});
