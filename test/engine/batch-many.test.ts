/** More sequences than a chunk has rows: their last tokens go through the last layer in several steps. */
import { expect, it } from 'vitest';
import { createEngine, storedDtype } from '../../src/engine/index.ts';
import { openCheckpoint } from '../../src/model/checkpoint.ts';
import { openFolder } from '../../src/node/files.ts';
import { adapters, useDevice, type TestAdapter } from '../runtime/adapters.ts';
import { fixtureFolder } from '../strategy/golden.ts';
import { localSlots } from './local-slots.ts';

const rig = useDevice(adapters[0] as TestAdapter);

it('a hundred and fifty short sequences have the same bits in chunks of 64 tokens as in one chunk', async () => {
  const weights = await openCheckpoint(await openFolder(fixtureFolder('mixed-layers')));
  const stream = await localSlots(rig.gpu, weights, storedDtype(weights.config));
  const { vocabSize } = weights.config;
  const sequences = Array.from({ length: 150 }, (_, s) => ({ tokens: Uint32Array.from({ length: 1 + (s % 3 === 0 ? 0 : s % 5) }, (_token, i) => (s * 131 + i * 17) % vocabSize) }));
  const candidates = Uint32Array.of(1, 5, 9);
  const wide = await createEngine(rig.gpu, weights, { chunkTokens: 1024 });
  const expected = await wide.forward({ sequences, candidates }, stream);
  for (const kv of ['layer', 'none'] as const) {
    const engine = await createEngine(rig.gpu, weights, { chunkTokens: 64, kv });
    const { logits } = await engine.forward({ sequences, candidates }, stream);
    expect(logits).toEqual(expected.logits);
  }
  await weights.close();
});
