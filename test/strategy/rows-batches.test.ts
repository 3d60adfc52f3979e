/** Batches of every make-up through the strategies that move rows: chunks, ranks without rows, many sequences, both KV modes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LAST_ALIGN } from '../../src/engine/batch.ts';
import { ROW_STRATEGIES } from '../../src/strategy/index.ts';
import { adapters, useDevice } from '../runtime/adapters.ts';
import { rowModel, sequencesOf } from './row-models.ts';
import { oneDevice, openRowWorld, worst, type Answer, type RowWorld } from './row-world.ts';

const rig = useDevice(adapters[0]!);

let onOneDevice: Answer;
beforeAll(async () => {
  onOneDevice = await oneDevice(rig.gpu, await rowModel());
});

/** Lengths of sequences, in chunks of 64 tokens. With attention data parallel, rank r of 3 has every third, from the r-th. */
const batches: Record<string, readonly number[]> = {
  'fewer sequences than ranks': [9, 5],
  'one token': [1],
  'a sequence over several chunks, beside short ones': [150, 3, 70, 20, 1, 64],
  'one rank with chunks when the others have none left': [170, 4, 2],
  'sequences that end where chunks do': [64, 64, 128, 32, 32, 64],
  'chunks in which no sequence ends': [10, 190, 6],
  'a last token that no earlier rank has rows behind': [127],
  'more sequences than last tokens are aligned to': [70, ...Array.from({ length: 2 * LAST_ALIGN + 9 }, (_, i) => 1 + (i % 3))],
};

// Without a KV cache, one strategy for each way in which chunks go through attention: own sequences, all sequences, a stage's.
const settings = [...ROW_STRATEGIES.map((strategy) => ({ strategy, kv: 'layer' as const })), ...(['ep', 'tp', 'pp'] as const).map((strategy) => ({ strategy, kv: 'none' as const }))];

describe.each(settings)('$strategy with kv $kv has the undivided model\'s logits for', ({ strategy, kv }) => {
  let world: RowWorld;
  let pass = 0;
  beforeAll(async () => {
    world = await openRowWorld({ weights: await rowModel(), strategy, world: 3, gpus: [rig.gpu], chunkTokens: 64, kv });
  });
  afterAll(() => world.close());

  it.each(Object.keys(batches))('%s', async (name) => {
    const sequences = sequencesOf(batches[name]!);
    expect(worst(await world.run(pass++, sequences, null), await onOneDevice(sequences, null))).toBeLessThan(1e-5);
  });

  it('candidates, each as its column of the vocabulary, in the order and as often as they are named', async () => {
    const sequences = sequencesOf([30, 7, 12, 1]);
    const candidates = Uint32Array.of(95, 3, 3, 0);
    const expected = (await onOneDevice(sequences, null)).map((logits) => Float32Array.from(candidates, (token) => logits[token]!));
    expect(worst(await world.run(pass++, sequences, candidates), expected)).toBeLessThan(1e-5);
  });

  it('batches of other sizes beside each other, three at a time', async () => {
    // The second has the rotary table grown while the first is under way, the third is done long before them.
    const all = [[40, 7, 90], [12, 1100], [3]].map((lengths) => sequencesOf(lengths));
    const logits = await Promise.all(all.map((sequences) => world.run(pass++, sequences, null)));
    for (const [batch, sequences] of all.entries()) expect(worst(logits[batch]!, await onOneDevice(sequences, null)), `batch ${batch}`).toBeLessThan(1e-5);
  });
});
