import { afterEach, describe, expect, it } from 'vitest';
import { DeviceError } from '../../src/errors.ts';
import type { OpenGpu } from '../../src/node/gpu.ts';
import { waitFor } from '../../src/node/pacing.ts';
import { readShader } from '../../src/node/shaders.ts';
import { GpuDevice, openDevice } from '../../src/runtime/device.ts';
import { rowsPerBank, uploadStacked } from '../../src/runtime/matrix.ts';
import { packedBytes } from '../../src/runtime/layout.ts';
import { attentionRows, defaultPlan, kernelPlanSchema, tileRows } from '../../src/runtime/plan.ts';
import { Timestamps } from '../../src/runtime/timestamps.ts';
import { Recorder } from '../../src/runtime/recorder.ts';
import { fill } from '../../src/runtime/kernels/experts.ts';
import { matmul } from '../../src/runtime/kernels/matmul.ts';
import { matrixOf } from '../../src/runtime/reference/tensor.ts';
import { adapters, openAdapter, useDevice } from './adapters.ts';
import { asFloats, operandBuffer, poisoned, rawMatrix, readWords } from './buffers.ts';
import { randomMatrix, testRandom } from './random.ts';

describe.each(adapters)('device of $name', ({ name, L, operands }) => {
  let adapter: OpenGpu | undefined;
  let gpu: GpuDevice | undefined;
  afterEach(() => {
    gpu?.close();
    adapter?.close();
    gpu = undefined;
    adapter = undefined;
  });
  async function open(options: { readonly maxBindingBytes?: number } = {}): Promise<GpuDevice> {
    adapter = await openAdapter(name);
    gpu = await openDevice(adapter.adapter, { shaders: readShader, wait: waitFor(adapter), ...options });
    return gpu;
  }

  it('has the features and the limits that the adapter has', async () => {
    const { device, hasF16, hasTimestamps, subgroupSize, maxBindingBytes } = await open();
    const { features, limits } = adapter!.adapter;
    expect({ hasF16, hasTimestamps, subgroupSize }).toEqual({ hasF16: operands.includes('f16'), hasTimestamps: true, subgroupSize: L });
    expect(['subgroups', 'shader-f16', 'timestamp-query'].map((f) => device.features.has(f))).toEqual(
      ['subgroups', 'shader-f16', 'timestamp-query'].map((f) => features.has(f)));
    for (const limit of ['maxStorageBufferBindingSize', 'maxBufferSize', 'maxStorageBuffersPerShaderStage'] as const) expect(device.limits[limit]).toBe(limits[limit]);
    expect(maxBindingBytes).toBe(Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize));
    expect(gpu!.name).toMatch(name === 'lavapipe' ? /llvmpipe/i : /swiftshader/i);
  });

  it('caps a binding where asked to, and never above the adapter\'s limit', async () => {
    expect((await open({ maxBindingBytes: 4096 })).maxBindingBytes).toBe(4096);
    gpu!.close();
    adapter!.close();
    expect((await open({ maxBindingBytes: 2 ** 50 })).maxBindingBytes).toBe(adapter!.adapter.limits.maxStorageBufferBindingSize);
  });

  it('raises what it refused as a DeviceError that names the adapter, at the next wait and ever after', async () => {
    const device = await open();
    device.device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
    await expect(device.idle()).rejects.toThrow(DeviceError);
    await expect(device.idle()).rejects.toThrow(device.name);
    expect(() => device.check()).toThrow(/MapRead|usage/i);
  });

  it('raises a kernel that does not compile as a DeviceError', async () => {
    adapter = await openAdapter(name);
    const shaders = (template: string) => (template === 'fill' ? 'fn main( {' : readShader(template));
    gpu = await GpuDevice.open(adapter.adapter, { shaders, wait: waitFor(adapter) });
    gpu.pipelines.get('fill', {});
    await expect(gpu.idle()).rejects.toThrow(DeviceError);
  });

  it('raises the loss of the device as a DeviceError, but not its own closing', async () => {
    const device = await open();
    device.device.destroy();
    await device.device.lost;
    expect(() => device.check()).toThrow(/device lost/);
    const other = await open();
    other.close();
    await other.device.lost;
    expect(() => other.check()).not.toThrow();
  });

  it('counts what it allocated, by part, and the most there was', async () => {
    const device = await open();
    const weights = device.createBuffer('attention/q', 1000, GPUBufferUsage.STORAGE);
    device.createBuffer('attention/k', 24, GPUBufferUsage.STORAGE);
    device.createBuffer('slots/0', 13, GPUBufferUsage.STORAGE);
    expect(device.memory.byPart()).toEqual({ attention: 1024, slots: 16 });
    device.destroyBuffer(weights);
    device.destroyBuffer(weights);
    device.createBuffer('tiny', 0, GPUBufferUsage.STORAGE);
    expect(device.memory.byPart()).toEqual({ attention: 24, slots: 16, tiny: 4 });
    expect([device.memory.bytes, device.memory.peakBytes]).toEqual([44, 1040]);
  });

  it('uploads more than one piece, and reads back any range', async () => {
    const device = await open();
    const bytes = new Uint8Array((9 << 20) + 4).map((_, i) => i % 251);
    const buffer = device.createBuffer('test', bytes.length + 8, GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC);
    device.upload(buffer, bytes, 8);
    const back = new Uint8Array(await device.read(buffer));
    expect(Buffer.compare(back.subarray(8), bytes)).toBe(0);
    expect([...back.subarray(0, 8)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    const part = new Uint8Array(await device.read(buffer, 6, 8 + (4 << 20)));
    expect([...part]).toEqual([...bytes.subarray(4 << 20, (4 << 20) + 6)]);
  });

  it('measures named intervals, as many as it has room for', async () => {
    const device = await open();
    const timestamps = new Timestamps(device, 2);
    const recorder = new Recorder(device, timestamps);
    const buffer = poisoned(device, 1 << 20);
    expect(await timestamps.take()).toEqual([]);
    for (const label of ['first', 'second', 'third']) {
      recorder.begin(label);
      fill(device, recorder, buffer, 1 << 18, 3);
      recorder.submit();
    }
    const intervals = await timestamps.take();
    expect(intervals.map(({ label }) => label)).toEqual(['first', 'second']);
    const [first, second] = intervals;
    expect(first!.endMs).toBeGreaterThanOrEqual(first!.startMs);
    expect(second!.startMs).toBeGreaterThanOrEqual(first!.startMs);
    const before = device.memory.bytes;
    timestamps.destroy();
    expect(device.memory.bytes).toBe(before - 32);
  });

  it('has a default plan that is sound: whole cells, its own subgroup size, what the schema accepts', async () => {
    const device = await open();
    const plan = defaultPlan(device);
    expect(kernelPlanSchema.parse(JSON.parse(JSON.stringify(plan)))).toEqual(plan);
    expect([plan.dense, plan.grouped, plan.attention].map((shape) => 'L' in shape && shape.L)).toEqual([L, L, L]);
    for (const size of [0, 32]) {
      const other = defaultPlan(Object.create(device, { subgroupSize: { value: size } }) as GpuDevice);
      expect([other.dense.kind, other.grouped.kind, other.attention.kind]).toEqual(['tiled', 'tiled', 'tiled']);
    }
    expect([tileRows(plan.dense) % 8, attentionRows(plan.attention) % L]).toEqual([0, 0]);
  });
});

describe.each(adapters)('weights on $name', (adapter) => {
  const rig = useDevice(adapter, { maxBindingBytes: 8 * 16 * 4 * 5 });

  it('stacked parts stand one after the other, whichever bank they end in', async () => {
    const random = testRandom();
    const parts = [13, 1, 50, 30].map((rows) => randomMatrix(random, rows, 16, 'f32'));
    const matrix = await uploadStacked(rig.gpu, 'test/qkv', 16, 'f32', parts.map(rawMatrix));
    expect(matrix.banks.map(({ firstRow, rows }) => [firstRow, rows])).toEqual([[0, 40], [40, 40], [80, 14]]);
    // Weights cannot be copied back; a product with the identity shows them, exactly.
    const identity = matrixOf(16, 16, (r, c) => (r === c ? 1 : 0));
    const out = poisoned(rig.gpu, 16 * matrix.rows * 4);
    matmul(rig.gpu, rig.recorder, { shape: { kind: 'tiled' }, a: operandBuffer(rig.gpu, identity, 'f32'), aType: 'f32', b: matrix, rows: 16, out, outStride: matrix.rows });
    rig.recorder.submit();
    const all = parts.flatMap(({ values }) => [...values]);
    expect([...asFloats(await readWords(rig.gpu, out))]).toEqual([...matrixOf(16, matrix.rows, (k, row) => all[row * 16 + k]!).values]);
  });

  it('8 rows that do not fit one binding are refused', () => {
    expect(rowsPerBank(16, 'f32', packedBytes(8, 16, 'f32'))).toBe(8);
    expect(() => rowsPerBank(16, 'f32', packedBytes(8, 16, 'f32') - 1)).toThrowErrorMatchingInlineSnapshot(`[DeviceError: 8 rows of 16 f32 elements do not fit one binding of 511 bytes]`);
  });
});
