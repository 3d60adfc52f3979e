/** The device that the tests of one file share. */
import { afterAll, beforeAll } from 'vitest';
import { openGpu, type OpenGpu } from '../../src/node/gpu.ts';
import { pacedWait } from '../../src/node/pacing.ts';
import { readShader } from '../../src/node/shaders.ts';
import { openDevice, type GpuDevice } from '../../src/runtime/device.ts';

/** Opened before the first test, closed behind the last. */
export function sharedDevice(adapter = 'lavapipe'): { readonly gpu: GpuDevice } {
  let opened: OpenGpu;
  let gpu: GpuDevice;
  beforeAll(async () => {
    opened = await openGpu(adapter);
    gpu = await openDevice(opened.adapter, { shaders: readShader, wait: pacedWait });
  });
  afterAll(() => {
    gpu.close();
    opened.close();
  });
  return { get gpu() { return gpu; } };
}
