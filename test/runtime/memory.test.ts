/** The device memory allowance. */
import { afterEach, describe, expect, it } from 'vitest';
import { DeviceError } from '../../src/errors.ts';
import type { OpenGpu } from '../../src/node/gpu.ts';
import { waitFor } from '../../src/node/pacing.ts';
import { readShader } from '../../src/node/shaders.ts';
import { openDevice, type GpuDevice } from '../../src/runtime/device.ts';
import { placeOf } from '../../src/runtime/memory.ts';
import { openAdapter } from './adapters.ts';

const MIB = 2 ** 20;

describe('a device with a memory allowance', () => {
  let adapter: OpenGpu | undefined;
  let gpu: GpuDevice | undefined;
  afterEach(() => {
    gpu?.close();
    adapter?.close();
  });
  async function open(memoryLimitBytes: number): Promise<GpuDevice> {
    adapter = await openAdapter('lavapipe');
    return (gpu = await openDevice(adapter.adapter, { shaders: readShader, wait: waitFor(adapter), memoryLimitBytes }));
  }
  const storage = (device: GpuDevice, label: string, bytes: number): GPUBuffer => device.createBuffer(label, bytes, GPUBufferUsage.STORAGE);

  it('is filled to the last byte, and not beyond; what was freed may be taken again', async () => {
    const device = await open(2 * MIB);
    const first = storage(device, 'slots/0', MIB);
    storage(device, 'slots/1', MIB);
    expect(() => storage(device, 'slots/2', 1)).toThrow(DeviceError);
    expect(device.memory.countedBytes).toBe(2 * MIB);
    device.destroyBuffer(first);
    storage(device, 'slots/2', MIB);
    expect(device.memory.byPart()).toEqual({ slots: 2 * MIB });
  });

  it('says what is taken, by the largest parts first, what was asked for, and what to do', async () => {
    const device = await open(4 * MIB);
    storage(device, 'attention/0 qkv', MIB / 2);
    storage(device, 'all experts/layer 0 bank 0', MIB);
    storage(device, 'all experts/layer 1 bank 0', MIB);
    expect(() => storage(device, 'all experts/layer 2 bank 0', 3 * MIB)).toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: the device memory allowance is 4.00 MiB, of which 2.50 MiB are taken (all experts 2.00 MiB, attention 0.50 MiB); all experts/layer 2 bank 0 asks for 3.00 MiB more: keep experts in host memory (--offload 1), share them among more ranks, take fewer tokens at a time (--batch-tokens, --kv none), or allow more]`,
    );
    expect(() => device.check()).not.toThrow();
  });

  it('does not count what the host maps, nor the scratch of tuning', async () => {
    const device = await open(MIB);
    device.createBuffer('staging/0', 2 * MIB, GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC);
    device.createBuffer('readback', 2 * MIB, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    storage(device, 'measure/out', 2 * MIB);
    storage(device, 'slots/0', MIB);
    expect([device.memory.countedBytes, device.memory.bytes]).toEqual([MIB, 7 * MIB]);
  });

  it('knows of every part whether the host maps it', async () => {
    const device = await open(MIB);
    expect([placeOf('staging'), placeOf('readback'), placeOf('slots'), placeOf('workspace')]).toEqual(['host', 'host', 'device', 'device']);
    expect(() => storage(device, 'staging/0', 4)).toThrow('buffer staging/0 is not mapped by the host; runtime/memory.ts says otherwise of its part');
    expect(() => device.createBuffer('slots/0', 4, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST)).toThrow('buffer slots/0 is mapped by the host');
  });
});
