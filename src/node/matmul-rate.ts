/**
 * How fast an adapter multiplies matrices with the best of our own dense kernels, alone on the machine: the limit that MFU is measured
 * against. Measured in a child process, so that the environment of ranks (threads of a software driver) does not apply.
 *
 * Run as a program with part of an adapter's name it prints one JSON line, {@link MatmulRate}.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { AdapterError } from '../errors.ts';
import { openDevice, type GpuDevice } from '../runtime/device.ts';
import { measureMatmulRate } from '../runtime/matmul-rate.ts';
import { defaultPlan } from '../runtime/plan.ts';
import { candidates } from '../runtime/tune.ts';
import { openGpu } from './gpu.ts';
import { waitFor } from './pacing.ts';
import { programArguments } from './program-arguments.ts';
import { readShader } from './shaders.ts';

const matmulRate = z.object({ name: z.string(), software: z.boolean(), flopsPerSecond: z.number() });

/** FLOP/s of one adapter, multiply-add = 2. */
export type MatmulRate = z.infer<typeof matmulRate>;

const TIMEOUT_MS = 120_000;

/**
 * Measures one adapter in a child process.
 * @throws AdapterError when the child fails
 */
export async function adapterMatmulRate(adapter: string | undefined): Promise<MatmulRate> {
  const args = [...programArguments(import.meta.url), ...(adapter === undefined ? [] : [adapter])];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: TIMEOUT_MS });
    return matmulRate.parse(JSON.parse(stdout));
  } catch (error) {
    const lastWords = (error as { stderr?: string }).stderr?.trim().split('\n').at(-1) ?? String(error);
    throw new AdapterError(`measuring the matmul rate failed: ${lastWords}`, { cause: error });
  }
}

/**
 * The rate of all adapters of a world together. Ranks on one adapter share it, so it counts once; software adapters share
 * the machine's cores, so they count as their mean.
 * @param adapters parts of names; empty: the machine's preferred adapter
 * @returns FLOP/s
 */
export async function worldMatmulRate(adapters: readonly string[]): Promise<number> {
  const rates = new Map<string, MatmulRate>();
  for (const adapter of adapters.length === 0 ? [undefined] : new Set(adapters)) {
    const rate = await adapterMatmulRate(adapter);
    rates.set(rate.name, rate);
  }
  const sum = (list: MatmulRate[]): number => list.reduce((total, { flopsPerSecond }) => total + flopsPerSecond, 0);
  const software = [...rates.values()].filter((rate) => rate.software);
  return sum([...rates.values()].filter((rate) => !rate.software)) + sum(software) / Math.max(1, software.length);
}

/** The fastest of our dense products on this device: every shape that suits it, with f32 and with f16 operands. */
async function bestRate(gpu: GpuDevice): Promise<number> {
  const plan = defaultPlan(gpu);
  // Tiles are a last resort where broadcasts are the default, and take seconds to compile there.
  const shapes = candidates(gpu).dense.filter(({ kind }) => kind === 'broadcast' || plan.dense.kind === 'tiled');
  let best = 0;
  for (const dense of shapes) {
    best = Math.max(best, await measureMatmulRate(gpu, { ...plan, dense, operands: { attention: 'f32', experts: 'f32' } }, 'bf16'));
    if (gpu.hasF16) best = Math.max(best, await measureMatmulRate(gpu, { ...plan, dense, operands: { attention: 'f16', experts: 'f16' } }, 'f16'));
  }
  return best;
}

async function main(adapter: string | undefined): Promise<void> {
  const opened = await openGpu(adapter);
  const gpu = await openDevice(opened.adapter, { shaders: readShader, wait: waitFor(opened) });
  const flopsPerSecond = await bestRate(gpu);
  const { name, software } = opened;
  process.stdout.write(`${JSON.stringify({ name, software, flopsPerSecond } satisfies MatmulRate)}\n`, () => process.exit(0));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv[2]);
