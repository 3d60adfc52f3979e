/** Passes with a prefix cache: the bits of passes without one, the work of the formula, the memory that was allowed. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, prefixCacheBytes, storedDtype, type Engine, type EngineOptions, type PassResult, type Sequence } from '../../src/engine/index.ts';
import type { SlotStream } from '../../src/engine/slot-stream.ts';
import { InputError } from '../../src/errors.ts';
import { openCheckpoint } from '../../src/model/checkpoint.ts';
import { prefillFlops } from '../../src/model/flops.ts';
import type { ModelConfig, ModelWeights } from '../../src/model/types.ts';
import { openFolder } from '../../src/node/files.ts';
import { defaultPlan } from '../../src/runtime/plan.ts';
import { adapters, useDevice, type Rig } from '../runtime/adapters.ts';
import { fixtureFolder } from '../strategy/golden.ts';
import { localSlots } from './local-slots.ts';
import { hashOf, NaiveCache } from './prefix-model.ts';

const CHUNK_TOKENS = 64;
const CANDIDATES = Uint32Array.of(1, 5, 9);
/** Blocks of the caches that are tried: none, fewer than a batch has, enough for all. */
const CACHE_BLOCKS = [0, 7, 200];

interface Model {
  readonly weights: ModelWeights;
  readonly stream: SlotStream;
  readonly plain: Engine;
  readonly caching: readonly Engine[];
}

async function openModel({ gpu }: Rig, fixture: string, plan = defaultPlan(gpu)): Promise<Model> {
  const weights = await openCheckpoint(await openFolder(fixtureFolder(fixture)));
  const stream = await localSlots(gpu, weights, storedDtype(weights.config));
  const engine = (options: EngineOptions): Promise<Engine> => createEngine(gpu, weights, { chunkTokens: CHUNK_TOKENS, plan, ...options });
  const caching: Engine[] = [];
  for (const blocks of CACHE_BLOCKS) caching.push(await engine({ kv: 'cache', prefixCacheBytes: prefixCacheBytes(weights.config, plan, blocks) }));
  return { weights, stream, plain: await engine({}), caching };
}

interface Drawn {
  readonly family: number;
  readonly shared: number;
  readonly seed: number;
  readonly own: number;
  readonly scored: number;
}

const drawn = fc.record({ family: fc.nat(1), shared: fc.oneof(fc.nat(40), fc.nat(130)), seed: fc.nat(3), own: fc.nat(30), scored: fc.constantFrom(0, 0, 0, 1, 20) });
const workload = fc.array(fc.array(drawn, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 4 });

/** The beginning of one of two long texts, then tokens of its own, then one more. */
function sequenceOf({ family, shared, seed, own, scored }: Drawn, vocabSize: number): Sequence {
  const text = (of: number, length: number): number[] => Array.from({ length }, (_, i) => ((i + 1) * 7919 * (of + 1) + of) % vocabSize);
  const tokens = Uint32Array.from([...text(family, shared), ...text(10 + seed, own), 3]);
  return { tokens, scored: Math.min(scored, tokens.length) };
}

const bitsOf = ({ logits, scores }: PassResult): unknown => ({ logits: [...logits], scores });

/** True FLOPs of what is left to compute, and of the scores. */
const flopsOf = (config: ModelConfig, batch: readonly Sequence[], cached: readonly number[]): number =>
  batch.reduce((sum, { tokens, scored = 0 }, i) => {
    const cachedTokens = cached[i] as number;
    return sum + prefillFlops(config, { newTokens: tokens.length - cachedTokens, cachedTokens, candidates: CANDIDATES.length, scored }, { lastLayerShortcut: true });
  }, 0);

async function checkWorkload({ weights: { config }, stream, plain, caching }: Model, batches: readonly (readonly Sequence[])[]): Promise<void> {
  const all = (engine: Engine): Promise<PassResult[]> => // every pass is asked for before the first has ended
    Promise.all(batches.map((sequences) => engine.forward({ sequences, candidates: CANDIDATES, top: 2 }, stream)));
  const expected = await all(plain);
  for (const engine of caching) {
    await engine.clearCache();
    const naive = new NaiveCache(engine.cacheBlocks);
    const known = new Set<number>();
    for (const [i, result] of (await all(engine)).entries()) {
      const batch = batches[i] as readonly Sequence[];
      expect(bitsOf(result), `pass ${i}, ${engine.cacheBlocks} blocks`).toEqual(bitsOf(expected[i] as PassResult));
      const { cached } = naive.plan(batch);
      expect(result.cachedTokens).toEqual(cached);
      expect(result.stats.tokens).toBe(batch.reduce((sum, { tokens }, s) => sum + tokens.length - (cached[s] as number), 0));
      expect(result.stats.flops).toBe(flopsOf(config, batch, cached));
      for (const hash of result.cache.materialised) known.add(hash);
      for (const hash of result.cache.evicted) known.delete(hash);
      expect([...known].sort()).toEqual(naive.contents.map(hashOf).sort());
    }
  }
}

describe.each(adapters)('with a prefix cache, on $name', (adapter) => {
  const rig = useDevice(adapter, { maxBindingBytes: 1 << 21 });

  describe.each(['base-f32', 'mixed-layers', 'head-dim-128'])('the passes of %s', (fixture) => {
    let model: Model;
    beforeAll(async () => {
      model = await openModel(rig, fixture);
    });
    afterAll(() => model.weights.close());

    it('have the bits of passes without it, whatever is shared, evicted and under way, and compute what the formula says', async () => {
      await fc.assert(fc.asyncProperty(workload, (batches) =>
        checkWorkload(model, batches.map((batch) => batch.map((one) => sequenceOf(one, model.weights.config.vocabSize))))), { numRuns: 6 });
    }, 60_000);
  });
});

describe('an engine with a prefix cache', () => {
  const rig = useDevice(adapters[0]!, { maxBindingBytes: 1 << 20 });
  let model: Model;
  beforeAll(async () => {
    model = await openModel(rig, 'mixed-layers');
  });
  afterAll(() => model.weights.close());

  const sequence = (length: number, seed = 1): Sequence => ({ tokens: Uint32Array.from({ length }, (_, i) => ((i + 1) * 7919 * seed) % model.weights.config.vocabSize) });
  const family = (): Sequence[] => [1, 2, 3].map((seed) => sequenceOf({ family: 0, shared: 100, seed, own: 20, scored: 0 }, model.weights.config.vocabSize));

  it('has the same bits with operands of attention in f16', async () => {
    const half = await openModel(rig, 'base-f32', defaultPlan(rig.gpu, { attention: 'f16', experts: 'f32' }));
    await checkWorkload(half, [family(), family()]);
    await half.weights.close();
  });

  it('computes a prefix once for three siblings, and not at all for the next batch', async () => {
    const engine = model.caching[2] as Engine;
    await engine.clearCache();
    const [first, second] = [await engine.forward({ sequences: family(), candidates: CANDIDATES }, model.stream), await engine.forward({ sequences: family(), candidates: CANDIDATES }, model.stream)];
    expect([first.cachedTokens, first.stats.tokens]).toEqual([[0, 96, 96], 121 + 25 + 25]);
    expect([second.cachedTokens, second.stats.tokens]).toEqual([[112, 112, 112], 27]);
  });

  it('believes nothing of a pass that failed while it was recorded, and the next passes have the right bits', async () => {
    const engine = model.caching[2] as Engine;
    await engine.clearCache();
    const [kept, lost] = [[sequence(70, 3)], family()];
    await engine.forward({ sequences: kept, candidates: CANDIDATES }, model.stream);
    const failing: SlotStream = { ...model.stream, ready: (layer) => (layer > 1 ? Promise.reject(new Error('no experts')) : model.stream.ready(layer)) };
    const failed = engine.forward({ sequences: lost, candidates: CANDIDATES }, failing);
    const behind = engine.forward({ sequences: [...lost, ...kept], candidates: CANDIDATES }, model.stream);
    await expect(failed).rejects.toThrow('no experts');
    expect((await behind).cachedTokens).toEqual([0, 96, 96, 64]);
    expect(bitsOf(await behind)).toEqual(bitsOf(await model.plain.forward({ sequences: [...lost, ...kept], candidates: CANDIDATES }, model.stream)));
  });

  it('forgets when it is told to, between passes', async () => {
    const engine = model.caching[2] as Engine;
    await engine.clearCache();
    const batch = { sequences: [sequence(40)], candidates: CANDIDATES };
    const passes = [engine.forward(batch, model.stream), engine.forward(batch, model.stream)];
    const cleared = engine.clearCache();
    passes.push(engine.forward(batch, model.stream));
    await cleared;
    expect((await Promise.all(passes)).map(({ cachedTokens }) => cachedTokens)).toEqual([[0], [32], [0]]);
  });

  it('takes the memory that follows from the budget, and no more than a binding holds', async () => {
    const { config } = model.weights;
    const sizes: [number, number][] = [];
    const perBlock = prefixCacheBytes(config, model.plain.plan, 1);
    for (const budget of [0, perBlock - 1, perBlock, 5 * perBlock + 3, Number.MAX_SAFE_INTEGER]) {
      const before = rig.gpu.memory.byPart()['prefix cache'] ?? 0;
      const engine = await createEngine(rig.gpu, model.weights, { kv: 'cache', prefixCacheBytes: budget });
      const bytes = (rig.gpu.memory.byPart()['prefix cache'] ?? 0) - before;
      expect(bytes).toBe(prefixCacheBytes(config, engine.plan, engine.cacheBlocks));
      sizes.push([engine.cacheBlocks, bytes]);
    }
    const keysOfBlock = 16 * config.numKeyValueHeads * config.headDim * 4;
    expect(sizes.map(([blocks]) => blocks)).toEqual([0, 0, 1, 5, Math.floor((1 << 20) / keysOfBlock)]);
    expect(perBlock).toBe(config.numHiddenLayers * 2 * keysOfBlock + 8);
  });

  it('refuses a budget that is no number of bytes, and a stage of a pipeline', async () => {
    const problem = (options: EngineOptions): Promise<string> =>
      createEngine(rig.gpu, model.weights, { kv: 'cache', ...options }).then(() => 'made', (error: unknown) => (error instanceof InputError ? error.message : String(error)));
    expect(await problem({ prefixCacheBytes: -1 })).toBe('engine: prefixCacheBytes: -1; expected a number of bytes');
    const stage = { wire: 'f32', computing: <T>(promise: Promise<T>) => promise } as const;
    expect(await problem({ stage })).toBe('engine: kv: a stage of a pipeline has no prefix cache; expected layer or none');
  });
});
