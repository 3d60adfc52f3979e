/** What a pass promises besides its numbers: bits that do not depend on company, true FLOPs, refusals. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createEngine, storedDtype, workspaceBytes, type Engine } from '../../src/engine/index.ts';
import { openCheckpoint } from '../../src/model/checkpoint.ts';
import { prefillFlops } from '../../src/model/flops.ts';
import type { ModelWeights } from '../../src/model/types.ts';
import { openFolder } from '../../src/node/files.ts';
import type { SlotStream } from '../../src/engine/slot-stream.ts';
import { adapters, useDevice, type TestAdapter } from '../runtime/adapters.ts';
import { fixtureFolder } from '../strategy/golden.ts';
import { localSlots } from './local-slots.ts';

const rig = useDevice(adapters[0] as TestAdapter);
let weights: ModelWeights;
let engine: Engine;
let stream: SlotStream;

beforeEach(async () => {
  weights = await openCheckpoint(await openFolder(fixtureFolder('mixed-layers')));
  engine = await createEngine(rig.gpu, weights, { chunkTokens: 64 });
  stream = await localSlots(rig.gpu, weights, storedDtype(weights.config));
});
afterEach(() => weights.close());

const prompt = (length: number, seed: number): { tokens: Uint32Array } => ({
  tokens: Uint32Array.from({ length }, (_, i) => ((i + 1) * 7919 * (seed + 1) + seed) % weights.config.vocabSize),
});

describe('a pass', () => {
  it('gives a sequence the same bits alone, in any company, in any order, and in any chunks', async () => {
    const lengths = [1, 70, 16, 130, 5, 33];
    const sequences = lengths.map(prompt);
    const whole = await engine.forward({ sequences, candidates: null }, stream);
    const width = weights.config.vocabSize;
    const backwards = await engine.forward({ sequences: sequences.toReversed(), candidates: null }, stream);
    const wide = await createEngine(rig.gpu, weights, { chunkTokens: 1024 });
    const unchunked = await wide.forward({ sequences, candidates: null }, stream);
    expect(unchunked.logits).toEqual(whole.logits);
    for (const [i, sequence] of sequences.entries()) {
      const expected = whole.logits.subarray(i * width, (i + 1) * width);
      const alone = await engine.forward({ sequences: [sequence], candidates: null }, stream);
      expect(alone.logits).toEqual(expected);
      const from = (sequences.length - 1 - i) * width;
      expect(backwards.logits.subarray(from, from + width)).toEqual(expected);
    }
  });

  it('gives asked candidates the logits that they have in the whole vocabulary, up to the order of sums', async () => {
    const sequences = [prompt(9, 1), prompt(40, 2)];
    const candidates = Uint32Array.of(5, 0, weights.config.vocabSize - 1);
    const all = await engine.forward({ sequences, candidates: null }, stream);
    const some = await engine.forward({ sequences, candidates }, stream);
    const expected = sequences.flatMap((_, s) => [...candidates].map((token) => all.logits[s * weights.config.vocabSize + token] as number));
    expected.forEach((value, i) => expect(some.logits[i]).toBeCloseTo(value, 4));
  });

  it('counts exactly the FLOPs of the formula', async () => {
    const sequences = [prompt(1, 0), prompt(77, 1), prompt(64, 2)];
    const { stats } = await engine.forward({ sequences, candidates: Uint32Array.of(1, 2, 3) }, stream);
    const expected = sequences.map(({ tokens }) => prefillFlops(weights.config, { newTokens: tokens.length, candidates: 3 }, { lastLayerShortcut: true }));
    expect(stats.flops).toBe(expected.reduce((sum, flops) => sum + flops, 0));
    expect(stats.tokens).toBe(142);
  });

  it('of no sequences is no work', async () => {
    const { logits, stats } = await engine.forward({ sequences: [], candidates: null }, stream);
    expect(logits.length).toBe(0);
    expect(stats.tokens).toBe(0);
  });

  it('allocates the workspace that was computed for it', async () => {
    await engine.forward({ sequences: [prompt(100, 1)], candidates: Uint32Array.of(4) }, stream);
    const capacity = { batchTokens: 100, sequences: 1, askedRows: 1, candidates: 1, blocks: 7, chunkTokens: 64 };
    const { workspace = 0 } = rig.gpu.memory.byPart();
    const { config } = weights;
    expect(workspace).toBeGreaterThan(0);
    expect(workspaceBytes(config, engine.plan, capacity)).toBeLessThanOrEqual(workspace);
  });
});

describe('bad input is refused by name', () => {
  const message = (sequences: { tokens: Uint32Array }[], candidates: Uint32Array | null = null): Promise<string> =>
    engine.forward({ sequences, candidates }, stream).then(() => 'accepted', (error: Error) => error.message);

  it('a token outside the vocabulary', async () => {
    expect(await message([prompt(3, 1), { tokens: Uint32Array.of(1, 999_999) }])).toMatch(/^sequence 1: tokens\[1\]: 999999 is not in the vocabulary; expected 0 to \d+$/);
  });

  it('an empty sequence', async () => {
    expect(await message([{ tokens: new Uint32Array(0) }])).toBe('sequence 0: tokens: is empty; expected at least one token');
  });

  it('a prompt longer than the model allows', async () => {
    const allowed = weights.config.maxPositionEmbeddings;
    expect(await message([prompt(allowed + 1, 1)])).toBe(`sequence 0: tokens: ${allowed + 1} tokens; the model allows at most ${allowed}`);
  });

  it('a candidate outside the vocabulary', async () => {
    expect(await message([prompt(3, 1)], Uint32Array.of(1, 70_000))).toMatch(/^candidates: \[1\]: 70000 is not in the vocabulary/);
  });
});
