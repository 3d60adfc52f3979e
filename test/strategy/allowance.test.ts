/** A model whose experts do not fit the device: refused where all must be there, computed with offload. */
import { afterEach, describe, expect, it } from 'vitest';
import { InProcessHub } from '../../src/collective/in-process.ts';
import type { ShardGeometry } from '../../src/collective/transport.ts';
import { createEngine, expertLayout, packExpert } from '../../src/engine/index.ts';
import { parseConfig } from '../../src/model/config.ts';
import { randomWeights } from '../../src/model/random-weights.ts';
import { openGpu } from '../../src/node/gpu.ts';
import { pacedWait } from '../../src/node/pacing.ts';
import { readShader } from '../../src/node/shaders.ts';
import { openDevice, type GpuDevice } from '../../src/runtime/device.ts';
import { createStream, type StreamSettings, type StreamStrategy } from '../../src/strategy/index.ts';
import { expertMemory } from '../../src/strategy/memory.ts';
import { localSlots } from '../engine/local-slots.ts';

const LAYERS = 16;
const config = parseConfig({
  model_type: 'qwen3_moe', vocab_size: 96, hidden_size: 64, intermediate_size: 64, moe_intermediate_size: 128, num_hidden_layers: LAYERS,
  num_attention_heads: 2, num_key_value_heads: 1, head_dim: 16, num_experts: 16, num_experts_per_tok: 2, norm_topk_prob: true,
  rms_norm_eps: 1e-6, rope_theta: 10000, max_position_embeddings: 256, torch_dtype: 'float32',
}, 'test model');
const { expertBytes } = expertLayout(config, 'f32');
const LAYER_BYTES = 16 * expertBytes;
const ALLOWANCE = (LAYERS * LAYER_BYTES) / 4;

const sequences = [70, 3, 41].map((length, s) => ({ tokens: Uint32Array.from({ length }, (_, i) => (i * 31 + s * 7) % 96) }));

const closing: (() => void)[] = [];
afterEach(() => closing.splice(0).toReversed().forEach((close) => close()));

async function openLimited(memoryLimitBytes?: number): Promise<GpuDevice> {
  const opened = await openGpu('lavapipe');
  const gpu = await openDevice(opened.adapter, { shaders: readShader, wait: pacedWait, ...(memoryLimitBytes !== undefined && { memoryLimitBytes }) });
  closing.push(() => opened.close(), () => gpu.close());
  return gpu;
}

it('a batch that the allowance has no room for is refused alone: a smaller one goes before and behind it', async () => {
  const gpu = await openLimited(3.5e6);
  const weights = await randomWeights({ ...config, numHiddenLayers: 1, layerIsMoe: [true] }, { seed: 5 });
  const engine = await createEngine(gpu, weights, { chunkTokens: 64 });
  const stream = await localSlots(gpu, weights, 'f32');
  const forward = (length: number) => engine.forward({ sequences: [{ tokens: new Uint32Array(length).fill(3) }], candidates: Uint32Array.of(1, 2) }, stream);
  const before = await forward(20);
  const manySequences = { sequences: Array.from({ length: 400 }, () => ({ tokens: new Uint32Array(16).fill(3) })), candidates: null };
  const refusal = await engine.forward(manySequences, stream).then(() => 'computed', (error: Error) => `${error.name}: ${error.message}`);
  expect(refusal).toMatch(/^InputError: batch: tokens: 6400 tokens: the device memory allowance is 3\.34 MiB, of which .* are taken .*--batch-tokens/);
  expect((await forward(20)).logits).toEqual(before.logits);
});

/** Logits of two passes on one rank. */
async function compute(gpu: GpuDevice, strategy: StreamStrategy, settings: Partial<StreamSettings>) {
  const weights = await randomWeights(config, { seed: 5 });
  const geometry: ShardGeometry = {
    modelHash: weights.modelHash, dtype: 'f32', world: 1, numExperts: config.numExperts, expertBytes, layers: config.layerIsMoe.map((_, layer) => layer),
  };
  const layout = expertLayout(config, 'f32');
  const transport = new InProcessHub().transport(0);
  const address = await transport.publish(geometry, async (layer, expert) => {
    const blob = new Uint8Array(expertBytes);
    packExpert(await weights.expert(layer, expert), layout, blob);
    return blob;
  });
  const engine = await createEngine(gpu, weights, { chunkTokens: 64, kv: 'none' });
  const stream = await createStream(strategy, {
    device: gpu.device, wait: (promise) => gpu.wait(promise), createBuffer: (...of) => gpu.createBuffer(...of), destroyBuffer: (buffer) => gpu.destroyBuffer(buffer),
    rank: 0, geometry, readers: [await transport.open(0, address, geometry)], bankBytes: gpu.maxBindingBytes, settings,
  });
  const batch = { sequences, candidates: null };
  const passes = await Promise.all([engine.forward(batch, stream), engine.forward(batch, stream)]);
  const allocated = gpu.memory.byPart();
  const { total } = stream.takeStats();
  await stream.close();
  return { logits: passes.map(({ logits }) => logits), allocated, total, context: { geometry, rank: 0, bankBytes: gpu.maxBindingBytes, settings } };
}

describe('experts four times as large as the device memory allowance', () => {
  it('have, with one layer ahead from host memory, the logits that they have when all are on the device, to the bit', async () => {
    const free = await compute(await openLimited(), 'resident', {});
    expect(free.allocated['all experts']).toBe(4 * ALLOWANCE);
    const gpu = await openLimited(ALLOWANCE);
    const { logits, allocated, total, context } = await compute(gpu, 'asyncep', { offloadLayers: 1 });
    for (const values of logits) expect(values).toEqual(free.logits[0]);
    expect(Object.fromEntries(expertMemory('asyncep', context).map(({ name, bytes }) => [name, bytes]))).toMatchObject({ 'first layer': LAYER_BYTES, slots: 2 * LAYER_BYTES });
    expect(allocated).toMatchObject({ 'first layer': LAYER_BYTES, slots: 2 * LAYER_BYTES });
    expect(Object.keys(allocated)).not.toContain('own shard');
    // Nothing comes from a peer; what comes from the host is whole layers, each once a pass.
    expect(total.hostBytes).toBe(0);
    expect(total.offloadedBytes % LAYER_BYTES).toBe(0);
    expect(total.offloadedBytes).toBeGreaterThanOrEqual(2 * (LAYERS - 1) * LAYER_BYTES);
  }, 60_000);

  it('gather by gather have them too', async () => {
    const free = await compute(await openLimited(), 'resident', {});
    const { logits } = await compute(await openLimited(ALLOWANCE), 'sync', { offloadLayers: 1 });
    for (const values of logits) expect(values).toEqual(free.logits[0]);
  }, 60_000);

  it('are refused by resident, and by a shard on the device, with what to do', async () => {
    const message = async (strategy: StreamStrategy): Promise<string> =>
      compute(await openLimited(ALLOWANCE), strategy, {}).then(() => 'computed', (error: Error) => `${error.name}: ${error.message}`);
    expect(await message('resident')).toMatch(new RegExp(
      String.raw`^DeviceError: the device memory allowance is 6\.00 MiB, of which 5\.\d\d MiB are taken \(all experts 4\.50 MiB, .*\); ` +
      String.raw`all experts/layer 3 bank 0 asks for 1\.50 MiB more: keep experts in host memory \(--offload 1\), share them among more ranks, ` +
      String.raw`take fewer tokens at a time \(--batch-tokens, --kv none\), or allow more$`));
    expect(await message('asyncep')).toMatch(/; own shard\/layer \d bank 0 asks for 1\.50 MiB more: keep experts in host memory/);
  }, 60_000);
});
