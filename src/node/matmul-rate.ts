/**
 * How fast an adapter multiplies matrices with our own dense kernel, alone on the machine: the limit that MFU is measured
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
import { matmul } from '../runtime/kernels/matmul.ts';
import { packedBytes } from '../runtime/layout.ts';
import { defaultPlan, type OperandDtype } from '../runtime/plan.ts';
import { Recorder } from '../runtime/recorder.ts';
import { openGpu } from './gpu.ts';
import { waitFor } from './pacing.ts';
import { programArguments } from './program-arguments.ts';
import { readShader } from './shaders.ts';

const matmulRate = z.object({ name: z.string(), software: z.boolean(), flopsPerSecond: z.number() });

/** FLOP/s of one adapter, multiply-add = 2. */
export type MatmulRate = z.infer<typeof matmulRate>;

const TIMEOUT_MS = 120_000;
const MEASURE_MS = 1000;

/** C = A B^T with A [M, K], B [N, K]: large enough for any adapter to be busy. */
const [M, N, K] = [512, 1024, 1024];
const PRODUCTS_PER_SUBMIT = 4;

/**
 * Measures one adapter in a child process.
 * @throws AdapterError when the child fails
 */
export async function measureMatmulRate(adapter: string | undefined): Promise<MatmulRate> {
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
    const rate = await measureMatmulRate(adapter);
    rates.set(rate.name, rate);
  }
  const sum = (list: MatmulRate[]): number => list.reduce((total, { flopsPerSecond }) => total + flopsPerSecond, 0);
  const software = [...rates.values()].filter((rate) => rate.software);
  return sum([...rates.values()].filter((rate) => !rate.software)) + sum(software) / Math.max(1, software.length);
}

/** Sustained rate with operands of one type; the first submit compiles. */
async function rateWith(gpu: GpuDevice, operands: OperandDtype): Promise<number> {
  const storage = GPUBufferUsage.STORAGE;
  const a = gpu.createBuffer('rate/a', packedBytes(M, K, operands), storage);
  const b = { buffer: gpu.createBuffer('rate/b', packedBytes(N, K, operands), storage), firstRow: 0, rows: N };
  const out = gpu.createBuffer('rate/out', M * N * 4, storage);
  const recorder = new Recorder(gpu);
  const shape = defaultPlan(gpu).dense;
  const submit = async (): Promise<void> => {
    for (let i = 0; i < PRODUCTS_PER_SUBMIT; i++) {
      matmul(gpu, recorder, { shape, a, aType: operands, b: { rows: N, k: K, dtype: operands, banks: [b] }, rows: M, out, outStride: N });
    }
    recorder.submit();
    await gpu.idle();
  };
  await submit();
  const startMs = performance.now();
  let products = 0;
  for (; performance.now() - startMs < MEASURE_MS; products += PRODUCTS_PER_SUBMIT) await submit();
  return (products * 2 * M * N * K) / ((performance.now() - startMs) / 1000);
}

async function main(adapter: string | undefined): Promise<void> {
  const opened = await openGpu(adapter);
  const gpu = await openDevice(opened.adapter, { shaders: readShader, wait: waitFor(opened) });
  const types: OperandDtype[] = gpu.hasF16 ? ['f32', 'f16'] : ['f32'];
  let best = 0;
  for (const operands of types) best = Math.max(best, await rateWith(gpu, operands));
  const { name, software } = opened;
  process.stdout.write(`${JSON.stringify({ name, software, flopsPerSecond: best } satisfies MatmulRate)}\n`, () => process.exit(0));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv[2]);
