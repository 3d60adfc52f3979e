/** Positions scored over the whole vocabulary: against transformers, against float64, and against the logits of prefixes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WorkspaceDemand } from '../../src/cluster/engine-memory.ts';
import { DeviceError } from '../../src/errors.ts';
import { createEngine, scoringBytes, storedDtype, type Engine, type EngineOptions, type Sequence, type TokenScores } from '../../src/engine/index.ts';
import type { SlotStream } from '../../src/engine/slot-stream.ts';
import { openCheckpoint } from '../../src/model/checkpoint.ts';
import { prefillFlops } from '../../src/model/flops.ts';
import type { ModelWeights } from '../../src/model/types.ts';
import { openFolder } from '../../src/node/files.ts';
import type { GpuDevice } from '../../src/runtime/device.ts';
import { tokenScores } from '../../src/runtime/reference/token-scores.ts';
import type { Matrix } from '../../src/runtime/reference/tensor.ts';
import { referenceLogits } from '../model/reference.ts';
import { adapters, useDevice, type Rig, type TestAdapter } from '../runtime/adapters.ts';
import { fixtureFolder, goldenCases } from '../strategy/golden.ts';
import { localSlots } from './local-slots.ts';

const NO_CANDIDATES = new Uint32Array(0);
const TOLERANCE = 1e-4;

interface Model {
  readonly weights: ModelWeights;
  readonly stream: SlotStream;
  engine(options?: EngineOptions): Promise<Engine>;
}

async function open(rig: Rig, name: string): Promise<Model> {
  const weights = await openCheckpoint(await openFolder(fixtureFolder(name)));
  const stream = await localSlots(rig.gpu, weights, storedDtype(weights.config));
  return { weights, stream, engine: (options) => createEngine(rig.gpu, weights, { chunkTokens: 64, ...options }) };
}

const prompt = ({ config }: ModelWeights, length: number, seed: number): Uint32Array =>
  Uint32Array.from({ length }, (_, i) => ((i + 1) * 7919 * (seed + 1) + seed) % config.vocabSize);

/** What is scored of one position. */
const position = ({ top, normalizers, nextLogits, topTokens, topLogits }: TokenScores, p: number) => ({
  normalizer: normalizers[p]!, nextLogit: nextLogits[p]!, topTokens: [...topTokens.subarray(p * top, (p + 1) * top)], topLogits: [...topLogits.subarray(p * top, (p + 1) * top)],
});

async function scoresOf(engine: Engine, stream: SlotStream, sequences: readonly Sequence[], top: number): Promise<TokenScores> {
  const { scores } = await engine.forward({ sequences, candidates: NO_CANDIDATES, top }, stream);
  return scores!;
}

const matrix = (logits: ArrayLike<number>, columns: number): Matrix => ({ rows: logits.length / columns, columns, values: Float64Array.from(logits) });

describe.each(adapters)('scored positions on $name', (adapter: TestAdapter) => {
  const rig = useDevice(adapter);

  it.each(['base-f32', 'mixed-layers', 'tied-f16', 'sharded-bf16'])('every token of a prompt to %s is as likely as the logits of its prefix say', async (name) => {
    const { weights, stream, engine: create } = await open(rig, name);
    const engine = await create();
    const tokens = prompt(weights, 75, 3);
    const scores = await scoresOf(engine, stream, [{ tokens, scored: tokens.length }], 7);
    const places = [0, 1, 15, 16, 40, 62, 63, 64, 74]; // a chunk is of 64 tokens
    const { logits } = await engine.forward({ sequences: places.map((p) => ({ tokens: tokens.subarray(0, p + 1) })), candidates: null }, stream);
    const expected = tokenScores(matrix(logits, weights.config.vocabSize), places.map((p) => tokens[p + 1] ?? null), 7);
    for (const [i, { normalizer, ...exact }] of expected.entries()) {
      const p = places[i]!;
      const { normalizer: found, ...rest } = position(scores, p);
      expect(rest, `position ${p}`).toEqual(exact);
      expect(Math.abs(found - normalizer), `position ${p}`).toBeLessThan(1e-5);
    }
    await weights.close();
  }, 60_000);

  it.each(['base-f32', 'sharded-bf16', 'tied-f16'])('what may follow a prompt to %s is as likely as transformers says', async (name) => {
    const { weights, stream, engine: create } = await open(rig, name);
    const engine = await create();
    const cases = goldenCases(name, 300);
    expect(cases.length).toBeGreaterThan(1);
    const scores = await scoresOf(engine, stream, cases.map(({ tokens }) => ({ tokens, scored: 1 })), 3);
    for (const [i, { logits }] of cases.entries()) {
      const [expected] = tokenScores(matrix(logits, weights.config.vocabSize), [null], 3);
      const { normalizer, topTokens, topLogits } = position(scores, i);
      expect(topTokens).toEqual(expected!.topTokens);
      topLogits.forEach((logit, j) => expect(Math.abs(logit - normalizer - (expected!.topLogits[j]! - expected!.normalizer))).toBeLessThan(TOLERANCE));
    }
    await weights.close();
  }, 60_000);

  it('log-probabilities of a prompt are those of a forward pass in float64', async () => {
    const { weights, stream, engine: create } = await open(rig, 'mixed-layers');
    const tokens = prompt(weights, 9, 5);
    const scores = await scoresOf(await create(), stream, [{ tokens, scored: 9 }], 0);
    for (let p = 0; p < 8; p++) {
      const logits = await referenceLogits(weights, [...tokens.subarray(0, p + 1)]);
      const [{ nextLogit, normalizer }] = tokenScores(matrix(logits, logits.length), [tokens[p + 1]!], 0) as [ReturnType<typeof tokenScores>[number]];
      expect(Math.abs(scores.nextLogits[p]! - scores.normalizers[p]! - (nextLogit - normalizer)), `position ${p}`).toBeLessThan(TOLERANCE);
    }
    await weights.close();
  }, 60_000);
});

describe('a batch that is scored', () => {
  const rig = useDevice(adapters[0] as TestAdapter);
  let model: Model;
  beforeAll(async () => { model = await open(rig, 'mixed-layers'); });
  afterAll(() => model.weights.close());
  const sequence = (length: number, seed: number, scored?: number): Sequence => ({ tokens: prompt(model.weights, length, seed), ...(scored !== undefined && { scored }) });

  it('has the bits of each sequence alone, in any chunks and with any KV mode, whatever is asked of the others', async () => {
    const { stream, engine: create } = model;
    const sequences = [sequence(5, 0), sequence(130, 1, 130), sequence(70, 2, 0), sequence(1, 3, 1), sequence(90, 4, 40), sequence(33, 5), sequence(64, 6, 1)];
    const candidates = Uint32Array.of(3, 1, 99);
    const engine = await create();
    const alone = [];
    for (const one of sequences) alone.push(await engine.forward({ sequences: [one], candidates, top: 4 }, stream));
    const expected = alone.flatMap(({ scores }) => Array.from(scores?.normalizers ?? [], (_, p) => position(scores!, p)));
    expect(expected.length).toBe(130 + 1 + 40 + 1);
    expect(alone[2]!.scores).toBeNull();
    for (const options of [{}, { chunkTokens: 1024 }, { kv: 'none' }, { kv: 'none', chunkTokens: 128 }] as const) {
      const { logits, scores } = await (await create(options)).forward({ sequences, candidates, top: 4 }, stream);
      expect([...logits]).toEqual(alone.flatMap((one) => [...one.logits]));
      expect(Array.from(scores!.normalizers, (_, p) => position(scores!, p))).toEqual(expected);
    }
  }, 60_000);

  it('has the same scores with passes before and behind that are still under way', async () => {
    const { stream, engine: create } = model;
    const batches = [[sequence(20, 1, 20)], [sequence(90, 2, 80), sequence(8, 3)], [sequence(40, 4, 2)], [sequence(130, 5, 130)], [sequence(3, 6, 3)]];
    const engine = await create();
    const overlapping = await Promise.all(batches.map((sequences) => scoresOf(engine, stream, sequences, 2)));
    for (const [i, sequences] of batches.entries()) expect(overlapping[i]).toEqual(await scoresOf(engine, stream, sequences, 2));
  });

  it('may ask for neither candidates nor scores: nothing comes back', async () => {
    const { stream, engine: create } = model;
    const { logits, scores, stats } = await (await create()).forward({ sequences: [sequence(70, 1)], candidates: NO_CANDIDATES, top: 5 }, stream);
    expect([logits.length, scores]).toEqual([0, null]);
    expect(stats.flops).toBe(prefillFlops(model.weights.config, { newTokens: 70 }, { lastLayerShortcut: true }));
  });

  it('counts exactly the FLOPs of the formula', async () => {
    const { stream, engine: create, weights } = model;
    const sequences = [sequence(77, 1, 77), sequence(64, 2), sequence(130, 3, 100), sequence(9, 4, 1)];
    const { stats } = await (await create()).forward({ sequences, candidates: Uint32Array.of(1, 2, 3), top: 20 }, stream);
    const expected = sequences.map(({ tokens, scored = 0 }) => prefillFlops(weights.config, { newTokens: tokens.length, candidates: 3, scored }, { lastLayerShortcut: true }));
    expect(stats.flops).toBe(expected.reduce((sum, flops) => sum + flops, 0));
  });

  it('is refused with more positions than tokens, a part of a position, or too many likely tokens', async () => {
    const { stream, engine: create } = model;
    const engine = await create();
    const message = (sequences: Sequence[], top: number): Promise<string> =>
      engine.forward({ sequences, candidates: null, top }, stream).then(() => 'accepted', (error: Error) => error.message);
    expect(await message([sequence(4, 1), sequence(3, 1, 4)], 0)).toBe('sequence 1: scored: 4; expected 0 to 3, the sequence\'s length');
    expect(await message([sequence(3, 1, -1)], 0)).toBe('sequence 0: scored: -1; expected 0 to 3, the sequence\'s length');
    expect(await message([sequence(3, 1, 1.5)], 0)).toBe('sequence 0: scored: 1.5; expected 0 to 3, the sequence\'s length');
    expect(await message([sequence(3, 1, 3)], 21)).toBe('batch: top: 21; expected a whole number from 0 to 20');
  });

  it('is refused by a stage of a pipeline', async () => {
    const { stream, engine: create } = model;
    const engine = await create({ stage: { wire: 'f32', send: () => Promise.resolve(), computing: (promise) => promise } });
    await expect(engine.forward({ sequences: [sequence(3, 1, 2)], candidates: NO_CANDIDATES }, stream)).rejects
      .toThrow('batch: scored: stages of a pipeline score no positions; expected asyncep, sync or resident');
  });
});

describe('memory of scoring', () => {
  const BINDING = 1 << 16;
  const rig = useDevice(adapters[0] as TestAdapter, { maxBindingBytes: BINDING });
  const wide = useDevice(adapters[0] as TestAdapter);

  it('is none before it is asked for, then what was computed for the largest batch so far; logits of a tile fit one binding', async () => {
    const { weights, stream, engine: create } = await open(rig, 'mixed-layers');
    const { config } = weights;
    const engine = await create();
    const taken = (): number => rig.gpu.memory.byPart()['scoring'] ?? 0;
    const demand = new WorkspaceDemand(config, engine.plan, engine.chunkTokens, false, engine.kv, BINDING);
    const planned = (): number => demand.parts().find(({ name }) => name === 'scoring')?.bytes ?? 0;
    for (const [length, scored, top, positions, words] of [[60, 0, 20, 0, 0], [60, 1, 20, 1, 42], [30, 30, 0, 30, 60], [300, 290, 5, 290, 3480], [60, 60, 2, 290, 3480]] as const) {
      const tokens = prompt(weights, length, 1);
      await engine.forward({ sequences: [{ tokens, scored }], candidates: Uint32Array.of(1), top }, stream);
      demand.add({ sequences: [tokens], candidates: Uint32Array.of(1), scored: [scored], top });
      expect(taken()).toBe(scoringBytes(config, BINDING, { positions, words }));
      expect(taken()).toBe(planned());
    }
    // 80 rows of 200 logits are as many, in eights, as 64 KiB hold; 290 positions are 4 tiles of 80, whose indices stand 128 apart.
    expect(taken()).toBe(80 * 48 * 4 + 80 * 200 * 4 + 2 * 4 * 128 * 4 + 3480 * 4);
    await weights.close();
  }, 60_000);

  it('that is not to be had refuses the batch, and a smaller one is scored behind it', async () => {
    const { weights, stream } = await open(wide, 'base-f32');
    const { gpu } = wide;
    const full: GpuDevice['createBuffer'] = (label, bytes, usage) => {
      if (label === 'scoring/logits' && bytes > 16 * weights.config.vocabSize * 4) throw new DeviceError('no room');
      return gpu.createBuffer(label, bytes, usage);
    };
    const engine = await createEngine(Object.create(gpu, { createBuffer: { value: full } }) as GpuDevice, weights);
    const [small, large] = [15, 60].map((scored) => [{ tokens: prompt(weights, 70, 1), scored }]) as [Sequence[], Sequence[]];
    const before = await scoresOf(engine, stream, small, 3);
    const taken = gpu.memory.byPart()['scoring'];
    await expect(scoresOf(engine, stream, large, 3)).rejects.toThrow('no room');
    expect(gpu.memory.byPart()['scoring']).toBeUndefined();
    expect(await scoresOf(engine, stream, small, 3)).toEqual(before);
    expect(gpu.memory.byPart()['scoring']).toBe(taken);
    await weights.close();
  });

  it('does not change a bit: tiles that are small give the scores of one tile', async () => {
    const scores = await Promise.all([rig, wide].map(async (device) => {
      const { weights, stream, engine: create } = await open(device, 'mixed-layers');
      const sequences = [{ tokens: prompt(weights, 10, 4) }, { tokens: prompt(weights, 200, 1), scored: 170 }, { tokens: prompt(weights, 100, 2), scored: 90 }];
      const found = await scoresOf(await create(), stream, sequences, 20);
      await weights.close();
      return found;
    }));
    expect(scores[0]).toEqual(scores[1]);
  }, 60_000);

  it('counts what comes back in the readback that was computed', async () => {
    const { weights, stream, engine: create } = await open(wide, 'base-f32');
    const engine = await create();
    const { config } = weights;
    const demand = new WorkspaceDemand(config, engine.plan, engine.chunkTokens, false, engine.kv, wide.gpu.maxBindingBytes);
    const before = wide.gpu.memory.byPart()['readback'] ?? 0;
    for (const [length, scored] of [[10, 10], [50, 0], [90, 90]] as const) {
      const tokens = prompt(weights, length, 1);
      await engine.forward({ sequences: [{ tokens, scored }], candidates: null, top: 3 }, stream);
      demand.add({ sequences: [tokens], candidates: null, scored: [scored], top: 3 });
    }
    // One pass at a time: one of two buffers of the largest results, which are the logits of one sequence and 90 rows of 8 words.
    expect((wide.gpu.memory.byPart()['readback'] ?? 0) - before).toBe(4 * (config.vocabSize + 90 * 8));
    expect(demand.parts().find(({ name }) => name === 'readback')?.bytes).toBe(2 * 4 * (config.vocabSize + 90 * 8));
    await weights.close();
  }, 60_000);
});
