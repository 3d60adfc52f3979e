/** How fast this device multiplies matrices with our own kernels: the denominator of MFU. */
import type { GpuDevice } from './device.ts';
import { matmul } from './kernels/matmul.ts';
import { packedBytes, type PackedDtype } from './layout.ts';
import type { PackedMatrix } from './matrix.ts';
import type { KernelPlan, OperandDtype } from './plan.ts';
import { Recorder } from './recorder.ts';

/** What is timed: several of these between two waits. */
export type RecordRun = (recorder: Recorder) => void;

/** One element that is about 1 in every type: bits of f32, f16 and bf16. */
const ONE = { f32: 0x3f80_0000, f16: 0x3c00_3c00, bf16: 0x3f80_3f80 } satisfies Record<PackedDtype, number>;

/** A packed operand [rows, k] of ones: the speed of a product does not depend on ordinary values. */
export function onesOperand(gpu: GpuDevice, rows: number, k: number, dtype: PackedDtype): GPUBuffer {
  const words = new Uint32Array(packedBytes(rows, k, dtype) / 4).fill(ONE[dtype]);
  const buffer = gpu.createBuffer('measure/operand', words.byteLength, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
  gpu.upload(buffer, new Uint8Array(words.buffer));
  return buffer;
}

/** {@link onesOperand} as weights in one bank. */
export const onesMatrix = (gpu: GpuDevice, rows: number, k: number, dtype: PackedDtype): PackedMatrix =>
  ({ rows, k, dtype, banks: [{ buffer: onesOperand(gpu, rows, k, dtype), firstRow: 0, rows }] });

/** Milliseconds of `repeats` runs, from the first command to the last one's end. */
export async function timeRuns(gpu: GpuDevice, recorder: Recorder, run: RecordRun, repeats: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < repeats; i++) run(recorder);
  recorder.submit();
  await gpu.idle();
  return performance.now() - start;
}

/** Sizes of the product: enough for a software adapter, and enough for a GPU. */
const SIZES = [{ rows: 512, columns: 1024, k: 1024 }, { rows: 4096, columns: 4096, k: 4096 }] as const;
/** Below this many milliseconds a product is too small to say much. */
const TOO_QUICK_MS = 5;
const SAMPLES = 5;
const SAMPLE_MS = 60;

async function rateOf(gpu: GpuDevice, recorder: Recorder, plan: KernelPlan, aType: OperandDtype, dtype: PackedDtype, size: (typeof SIZES)[number]): Promise<{ rate: number; ms: number }> {
  const { rows, columns, k } = size;
  const a = onesOperand(gpu, rows, k, aType);
  const b = onesMatrix(gpu, columns, k, dtype);
  const out = gpu.createBuffer('measure/out', rows * columns * 4, GPUBufferUsage.STORAGE);
  const run: RecordRun = (to) => matmul(gpu, to, { shape: plan.dense, a, aType, b, rows, out, outStride: columns });
  await timeRuns(gpu, recorder, run, 1); // compiles
  let ms = await timeRuns(gpu, recorder, run, 1);
  const repeats = Math.max(1, Math.round(SAMPLE_MS / ms));
  for (let i = 0; i < SAMPLES; i++) ms = Math.min(ms, (await timeRuns(gpu, recorder, run, repeats)) / repeats);
  for (const buffer of [a, out, ...b.banks.map((bank) => bank.buffer)]) gpu.destroyBuffer(buffer);
  return { rate: (2 * rows * columns * k) / (ms / 1e3), ms };
}

/**
 * FLOP/s (a multiply-add counts 2) of the plan's dense product at a good size, with weights of `dtype`: the best of several samples, because
 * whatever disturbs a sample only slows it. Where attention and experts have operands of different types, the faster of the two.
 * Takes a few hundred milliseconds once the kernels are compiled.
 */
export async function measureMatmulRate(gpu: GpuDevice, plan: KernelPlan, dtype: PackedDtype): Promise<number> {
  const recorder = new Recorder(gpu);
  let best = 0;
  for (const aType of new Set(Object.values(plan.operands))) {
    let measured = await rateOf(gpu, recorder, plan, aType, dtype, SIZES[0]);
    if (measured.ms < TOO_QUICK_MS) measured = await rateOf(gpu, recorder, plan, aType, dtype, SIZES[1]);
    best = Math.max(best, measured.rate);
  }
  recorder.destroy();
  return best;
}
