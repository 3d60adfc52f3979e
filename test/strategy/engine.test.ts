/** The engine fed by every stream, as any rank of any world would be: one device, the shards in this process. */
import { describe, expect, it } from 'vitest';
import { InProcessHub } from '../../src/collective/in-process.ts';
import type { ShardGeometry } from '../../src/collective/transport.ts';
import { createEngine, expertLayout, packExpert, type Engine } from '../../src/engine/index.ts';
import { openCheckpoint } from '../../src/model/checkpoint.ts';
import type { ModelWeights } from '../../src/model/types.ts';
import { openFolder } from '../../src/node/files.ts';
import { pacedWait } from '../../src/node/pacing.ts';
import { STREAM_STRATEGIES, createStream, type StreamStrategy } from '../../src/strategy/index.ts';
import { sharedDevice } from './device.ts';
import { fixtureFolder, goldenCases, relativeError } from './golden.ts';

const device = sharedDevice();

/** Two passes over the same batch, seen from one rank of `world`. */
async function logitsOf(weights: ModelWeights, engine: Engine, tokens: readonly Uint32Array[], strategy: StreamStrategy, world: number, rank: number): Promise<Float32Array[]> {
  const { gpu } = device;
  const { config, modelHash } = weights;
  const layout = expertLayout(config, 'f32');
  const layers = config.layerIsMoe.flatMap((isMoe, layer) => (isMoe ? [layer] : []));
  const geometry: ShardGeometry = { modelHash, dtype: 'f32', world, numExperts: config.numExperts, expertBytes: layout.expertBytes, layers };
  const hub = new InProcessHub();
  const pack = async (layer: number, expert: number): Promise<Uint8Array> => {
    const blob = new Uint8Array(layout.expertBytes);
    packExpert(await weights.expert(layer, expert), layout, blob);
    return blob;
  };
  const readers = await Promise.all(Array.from({ length: world }, async (_, peer) => {
    const transport = hub.transport(peer);
    return transport.open(peer, await transport.publish(geometry, pack), geometry);
  }));
  const stream = await createStream(strategy, {
    device: gpu.device, wait: pacedWait, createBuffer: (label, size, usage) => gpu.createBuffer(label, size, usage),
    rank, geometry, readers, bankBytes: 3 * layout.expertBytes,
  });
  const batch = { sequences: tokens.map((ids) => ({ tokens: ids })), candidates: null };
  // Passes overlap: the second is recorded while the first computes.
  const passes = await Promise.all([engine.forward(batch, stream), engine.forward(batch, stream)]);
  await stream.close();
  return passes.map(({ logits }) => logits);
}

// base-f32: three MoE layers of eight experts; mixed-layers: dense layers between; sharded-bf16: one streamed layer, seven experts.
describe.each(['base-f32', 'mixed-layers', 'sharded-bf16'])('the logits of %s', (name) => {
  it('are those of transformers and equal bit for bit under every strategy, from any rank, in several banks', async () => {
    const weights = await openCheckpoint(await openFolder(fixtureFolder(name)));
    const cases = goldenCases(name, 120);
    const engine = await createEngine(device.gpu, weights, { weightDtype: 'f32' });
    const tokens = cases.map((golden) => golden.tokens);
    let expected: Float32Array | undefined;
    for (const strategy of STREAM_STRATEGIES) {
      for (const world of [1, 2, 3, 4]) {
        for (const logits of await logitsOf(weights, engine, tokens, strategy, world, world - 1)) {
          expected ??= logits;
          expect(Buffer.compare(Buffer.from(logits.buffer), Buffer.from(expected.buffer)), `${strategy}, ${world} ranks`).toBe(0);
        }
      }
    }
    const vocabulary = weights.config.vocabSize;
    for (const [i, { logits }] of cases.entries()) {
      expect(relativeError((expected as Float32Array).subarray(i * vocabulary, (i + 1) * vocabulary), logits)).toBeLessThan(1e-4);
    }
    await weights.close();
  });
});
