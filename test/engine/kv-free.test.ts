/** The KV-cache-free mode: less memory for keys and values, the same bits. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, kvBlocks, storedDtype, workspaceBytes, type Engine, type KvMode } from '../../src/engine/index.ts';
import type { SlotStream } from '../../src/engine/slot-stream.ts';
import { openCheckpoint } from '../../src/model/checkpoint.ts';
import type { ModelWeights } from '../../src/model/types.ts';
import { openFolder } from '../../src/node/files.ts';
import { kvBytes } from '../../src/runtime/kernels/attention.ts';
import { adapters, useDevice, type TestAdapter } from '../runtime/adapters.ts';
import { fixtureFolder } from '../strategy/golden.ts';
import { localSlots } from './local-slots.ts';

const CHUNK_TOKENS = 64;
const LENGTHS = [70, 5, 130, 16, 1, 33, 64, 90, 200, 12, 3, 3];

describe.each(adapters)('without a KV cache, on $name', (adapter: TestAdapter) => {
  const rig = useDevice(adapter, { maxBindingBytes: 1 << 20 });
  let weights: ModelWeights;
  let stream: SlotStream;
  beforeAll(async () => {
    weights = await openCheckpoint(await openFolder(fixtureFolder('mixed-layers')));
    stream = await localSlots(rig.gpu, weights, storedDtype(weights.config));
  });
  afterAll(() => weights.close());

  const sequences = (lengths: readonly number[]) =>
    lengths.map((length, seed) => ({ tokens: Uint32Array.from({ length }, (_, i) => ((i + 1) * 7919 * (seed + 1) + seed) % weights.config.vocabSize) }));

  /** What the device's ledger says a pass took beyond what was there. */
  async function workspaceOf(kv: KvMode): Promise<{ logits: Float32Array; bytes: number; engine: Engine }> {
    const engine = await createEngine(rig.gpu, weights, { chunkTokens: CHUNK_TOKENS, kv });
    const before = rig.gpu.memory.byPart()['workspace'] ?? 0;
    const { logits } = await engine.forward({ sequences: sequences(LENGTHS), candidates: null }, stream);
    return { logits, engine, bytes: (rig.gpu.memory.byPart()['workspace'] ?? 0) - before };
  }

  it('logits are the same to the bit, and keys and values take as many bytes less as blocks are fewer', async () => {
    const [kept, none] = [await workspaceOf('layer'), await workspaceOf('none')];
    expect(none.logits).toEqual(kept.logits);
    const { numKeyValueHeads, headDim, vocabSize } = weights.config;
    const [all, few] = [kvBlocks(LENGTHS, CHUNK_TOKENS, 'layer'), kvBlocks(LENGTHS, CHUNK_TOKENS, 'none')];
    expect(few).toBeLessThan(all / 2);
    expect(kept.bytes - none.bytes).toBe(2 * kvBytes(all - few, numKeyValueHeads, headDim, none.engine.plan.operands.attention));
    // What is left is the workspace's formula and the rotary table of 1024 positions.
    const capacity = { batchTokens: LENGTHS.reduce((a, b) => a + b), sequences: LENGTHS.length, askedRows: LENGTHS.length, candidates: vocabSize, chunkTokens: CHUNK_TOKENS, blocks: few };
    const positions = Math.min(1024, weights.config.maxPositionEmbeddings);
    expect(none.bytes).toBe(workspaceBytes(weights.config, none.engine.plan, capacity) + positions * headDim * 4);
  }, 60_000);

  it('a batch may be longer than its keys and values would allow', async () => {
    const { numKeyValueHeads, headDim } = weights.config;
    const engine = await createEngine(rig.gpu, weights, { chunkTokens: CHUNK_TOKENS });
    const perBlock = kvBytes(1, numKeyValueHeads, headDim, engine.plan.operands.attention);
    const holds = Math.floor((1 << 20) / perBlock) * 16;
    expect(engine.maxBatchTokens).toBe(holds);
    const many = Array.from({ length: holds / 100 + 1 }, () => 100);
    const message = await engine.forward({ sequences: sequences(many), candidates: Uint32Array.of(1) }, stream).then(() => 'computed', (error: Error) => error.message);
    expect(message).toBe(`batch: tokens: ${many.length * 100} tokens in ${many.length * 7} blocks; this device holds keys and values of ${holds} tokens in one binding`);
    const free = await createEngine(rig.gpu, weights, { chunkTokens: CHUNK_TOKENS, kv: 'none' });
    expect(free.maxBatchTokens).toBeGreaterThan(holds);
  }, 60_000);
});
