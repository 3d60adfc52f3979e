/** What every bench starts with: its flags, an opened device, and a line that says where it ran. */
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { openGpu, type OpenGpu } from '../src/node/gpu.ts';
import { waitFor } from '../src/node/pacing.ts';
import { readShader } from '../src/node/shaders.ts';
import { GpuDevice } from '../src/runtime/device.ts';
import { Recorder } from '../src/runtime/recorder.ts';

export interface Rig {
  readonly adapter: OpenGpu;
  readonly gpu: GpuDevice;
  readonly recorder: Recorder;
}

export async function openRig(adapterName?: string): Promise<Rig> {
  const adapter = await openGpu(adapterName);
  const gpu = await GpuDevice.open(adapter.adapter, { shaders: readShader, wait: waitFor(adapter) });
  return { adapter, gpu, recorder: new Recorder(gpu) };
}

export function closeRig({ adapter, gpu }: Rig): void {
  gpu.close();
  adapter.close();
}

export function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'unknown';
  }
}

export interface Place {
  readonly date: string;
  readonly command: string;
  readonly commit: string;
  readonly adapter: string;
  readonly driver: string;
  readonly cpu: string;
  readonly node: string;
}

/** Where and when a result was measured: stands above every table and in every file of `bench/results/`. */
export function describePlace({ adapter, gpu }: Rig, script: string, flags: readonly string[]): Place {
  const cores = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    command: ['npm run', script, ...(flags.length > 0 ? ['--', ...flags] : [])].join(' '),
    commit: commit(),
    adapter: adapter.name,
    driver: gpu.info.description || gpu.info.device,
    cpu: `${cores[0]?.model.trim() ?? 'unknown'} x ${cores.length}`,
    node: process.version,
  };
}

export const printPlace = (place: Place): void => {
  for (const [key, value] of Object.entries(place)) console.log(`${key.padEnd(8)} ${value}`);
  console.log();
};
