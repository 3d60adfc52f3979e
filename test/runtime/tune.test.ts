import { describe, expect, it } from 'vitest';
import { measureMatmulRate } from '../../src/runtime/matmul-rate.ts';
import { matmul } from '../../src/runtime/kernels/matmul.ts';
import { defaultPlan, kernelPlanSchema } from '../../src/runtime/plan.ts';
import { matmul as matmulOracle } from '../../src/runtime/reference/matmul.ts';
import { candidates, choose, tunePlan, tuningKey } from '../../src/runtime/tune.ts';
import { adapters, useDevice } from './adapters.ts';
import { asFloats, expectClose, operandBuffer, poisoned, readWords, weightMatrix } from './buffers.ts';
import { randomMatrix, testRandom } from './random.ts';

describe('candidates', () => {
  it.each([
    ['no subgroups', 0], ['a subgroup of 4', 4], ['8', 8], ['16', 16], ['32', 32], ['64', 64], ['128, wider than any kernel', 128],
  ])('%s: the default first, tiled always, broadcast shapes for this size only, nothing twice', (_, subgroupSize) => {
    const list = candidates({ subgroupSize, hasF16: false });
    const plan = defaultPlan({ subgroupSize });
    for (const kernel of ['dense', 'grouped', 'attention'] as const) {
      expect(list[kernel][0]).toEqual(plan[kernel]);
      expect(list[kernel]).toContainEqual({ kind: 'tiled' });
      expect(list[kernel].length).toBeLessThanOrEqual(3);
      expect(new Set(list[kernel].map((shape) => JSON.stringify(shape))).size).toBe(list[kernel].length);
      const sizes = list[kernel].filter((shape) => shape.kind === 'broadcast').map(({ L }) => L);
      expect(sizes).toEqual(sizes.map(() => subgroupSize));
    }
    const broadcasts = list.dense.filter(({ kind }) => kind === 'broadcast').length;
    expect(broadcasts > 0).toBe(subgroupSize >= 4 && subgroupSize <= 64);
  });

  it('tiled is the default, or the last resort', () => {
    for (const subgroupSize of [0, 4, 8, 16, 32, 64]) {
      for (const list of [candidates({ subgroupSize, hasF16: false }).dense, candidates({ subgroupSize, hasF16: false }).attention]) {
        expect([0, list.length - 1]).toContain(list.findIndex(({ kind }) => kind === 'tiled'));
      }
    }
  });

  it('experts may have f16 operands only where the adapter has f16 and the caller allows it', () => {
    expect(candidates({ subgroupSize: 8, hasF16: true }, true).experts).toEqual(['f32', 'f16']);
    expect(candidates({ subgroupSize: 8, hasF16: false }, true).experts).toEqual(['f32']);
    expect(candidates({ subgroupSize: 8, hasF16: true }).experts).toEqual(['f32']);
  });
});

describe('choice', () => {
  const timings = (...ms: number[]) => ms.map((value, i) => ({ candidate: i, ms: value }));
  const chosen = (...ms: number[]): number => choose(timings(...ms)).candidate;

  it('takes the fastest', () => expect(chosen(10, 7, 5, 6)).toBe(2));
  it('keeps the default when another is less than 5 % faster', () => expect(chosen(10, 9.6, 12)).toBe(0));
  it('leaves the default for one that is 6 % faster', () => expect(chosen(10, 9.4, 12)).toBe(1));
  it('takes the earlier of two that are equally fast', () => expect(chosen(10, 5, 5)).toBe(1));
  it('wants more of a gain where the margin is larger', () => expect(choose(timings(10, 9.3), 0.08).candidate).toBe(0));
  it('says that no variant works when none does', () => {
    expect(() => choose([])).toThrowErrorMatchingInlineSnapshot(`[DeviceError: no variant of a kernel computes correctly on this adapter; is its driver up to date?]`);
  });
});

describe.each(adapters)('tuning on $name', (adapter) => {
  const rig = useDevice(adapter);

  it('gives a plan that the schema accepts, that computes correctly and that leaves nothing allocated', async () => {
    const { gpu, recorder } = rig;
    const before = gpu.memory.bytes;
    const lines: string[] = [];
    const plan = await tunePlan(gpu, { weightDtype: 'bf16', headDim: 16, allowF16: true, log: (line) => lines.push(line), budgetMs: 1000 });
    expect(gpu.memory.bytes).toBe(before);
    expect(kernelPlanSchema.parse(plan)).toEqual(plan);
    expect(plan.operands.attention).toBe('f32');
    expect(lines.filter((line) => line.includes('wrong'))).toEqual([]);
    expect(lines[0]).toMatch(/^experts .*: \d+\.\d\d ms$/);

    const random = testRandom();
    const [a, b] = [randomMatrix(random, 19, 40, 'f32'), randomMatrix(random, 33, 40, 'bf16')];
    const out = poisoned(gpu, 19 * 33 * 4);
    matmul(gpu, recorder, { shape: plan.dense, a: operandBuffer(gpu, a, 'f32'), aType: 'f32', b: await weightMatrix(gpu, b, 'bf16'), rows: 19, out, outStride: 33 });
    recorder.submit();
    expectClose(asFloats(await readWords(gpu, out)), matmulOracle(a, b).values);
  });

  it('has a key that tells weights, head dimensions and permissions apart, and stays the same otherwise', () => {
    const { gpu } = rig;
    const options = { weightDtype: 'f16', headDim: 64 } as const;
    expect(tuningKey(gpu, options)).toBe(tuningKey(gpu, { ...options, allowF16: false, budgetMs: 3 }));
    expect(tuningKey(gpu, options)).toContain(gpu.name);
    const keys = [options, { ...options, weightDtype: 'f32' as const }, { ...options, headDim: 128 }, ...(gpu.hasF16 ? [{ ...options, allowF16: true }] : [])].map((one) => tuningKey(gpu, one));
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('measures a rate of the dense product that is positive, finite, and leaves nothing allocated', async () => {
    const { gpu } = rig;
    const before = gpu.memory.bytes;
    const rate = await measureMatmulRate(gpu, defaultPlan(gpu), 'f16');
    expect(rate).toBeGreaterThan(1e8);
    expect(rate).toBeLessThan(1e15);
    expect(gpu.memory.bytes).toBe(before);
  });
});
