/** The software adapters that every kernel is tested on, opened once per test file. */
import { afterAll, beforeAll } from 'vitest';
import { openGpu, type OpenGpu } from '../../src/node/gpu.ts';
import { waitFor } from '../../src/node/pacing.ts';
import { readShader } from '../../src/node/shaders.ts';
import { GpuDevice } from '../../src/runtime/device.ts';
import type { OperandDtype } from '../../src/runtime/plan.ts';
import { Recorder } from '../../src/runtime/recorder.ts';

export interface TestAdapter {
  readonly name: 'lavapipe' | 'swiftshader';
  /** Lanes of its subgroups. */
  readonly L: number;
  /** Operand types it has kernels for: f16 needs shader-f16 (device.test.ts checks that it is there where listed). */
  readonly operands: readonly OperandDtype[];
}

export const adapters: readonly TestAdapter[] = [
  { name: 'lavapipe', L: 8, operands: ['f32', 'f16'] },
  { name: 'swiftshader', L: 4, operands: ['f32'] },
];

/** A missing adapter is a failure of the machine's set-up, never a reason to skip. */
export async function openAdapter(name: TestAdapter['name']): Promise<OpenGpu> {
  try {
    return await openGpu(name);
  } catch (error) {
    throw new Error(`the tests need both software adapters; ${name} is missing: run \`npm run setup\` (${String(error)})`, { cause: error });
  }
}

export interface Rig {
  readonly gpu: GpuDevice;
  readonly recorder: Recorder;
}

/** A device for the tests of one `describe`; its members may be used inside tests and hooks only. */
export function useDevice({ name }: TestAdapter, options: { readonly maxBindingBytes?: number } = {}): Rig {
  let opened: { adapter: OpenGpu; gpu: GpuDevice; recorder: Recorder } | undefined;
  beforeAll(async () => {
    const adapter = await openAdapter(name);
    const gpu = await GpuDevice.open(adapter.adapter, { shaders: readShader, wait: waitFor(adapter), ...options });
    opened = { adapter, gpu, recorder: new Recorder(gpu) };
  });
  afterAll(() => {
    opened?.gpu.close();
    opened?.adapter.close();
    opened = undefined;
  });
  const now = () => {
    if (opened === undefined) throw new Error('the device is opened by beforeAll');
    return opened;
  };
  return {
    get gpu() { return now().gpu; },
    get recorder() { return now().recorder; },
  };
}
