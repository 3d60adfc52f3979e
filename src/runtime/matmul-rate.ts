/** How fast this device multiplies matrices with our own kernels: the denominator of MFU. */
import type { GpuDevice } from './device.ts';
import { matmul } from './kernels/matmul.ts';
import { packedBytes, type PackedDtype } from './layout.ts';
import type { PackedMatrix } from './matrix.ts';
import type { KernelPlan, OperandDtype } from './plan.ts';
import { Recorder } from './recorder.ts';

/** What is timed: several of these between two waits. */
export type RecordRun = (recorder: Recorder) => void;

/** What measured operands are filled with: 1/16 in every type, so that long sums stay small. */
export const FILL = 1 / 16;
const FILL_WORDS = { f32: 0x3d80_0000, f16: 0x2c00_2c00, bf16: 0x3d80_3d80 } satisfies Record<PackedDtype, number>;

/** A storage buffer full of {@link FILL}: the speed of a product does not depend on ordinary values. */
export function filledBuffer(gpu: GpuDevice, bytes: number, dtype: PackedDtype): GPUBuffer {
  const buffer = gpu.createBuffer('measure/operand', bytes, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
  const piece = new Uint32Array(Math.min(1 << 20, Math.ceil(bytes / 4))).fill(FILL_WORDS[dtype]);
  for (let at = 0; at < buffer.size; at += piece.byteLength) {
    gpu.upload(buffer, new Uint8Array(piece.buffer, 0, Math.min(piece.byteLength, buffer.size - at)), at);
  }
  return buffer;
}

/** A packed operand [rows, k], every element {@link FILL}. */
export const filledOperand = (gpu: GpuDevice, rows: number, k: number, dtype: PackedDtype): GPUBuffer => filledBuffer(gpu, packedBytes(rows, k, dtype), dtype);

/** {@link filledOperand} as weights in one bank. */
export const filledMatrix = (gpu: GpuDevice, rows: number, k: number, dtype: PackedDtype): PackedMatrix =>
  ({ rows, k, dtype, banks: [{ buffer: filledOperand(gpu, rows, k, dtype), firstRow: 0, rows }] });

/** Milliseconds of `repeats` runs, from the first command to the last one's end. */
export async function timeRuns(gpu: GpuDevice, recorder: Recorder, run: RecordRun, repeats: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < repeats; i++) run(recorder);
  recorder.submit();
  await gpu.idle();
  return performance.now() - start;
}

/** Sizes of the product: for the slowest adapter, for a quick software adapter, for a GPU. */
const SIZES = [{ rows: 128, columns: 512, k: 512 }, { rows: 512, columns: 1024, k: 1024 }, { rows: 4096, columns: 4096, k: 4096 }] as const;
/** A product that takes less is too small to say much. */
const TOO_QUICK_MS = 8;
const SAMPLES = 5;
const SAMPLE_MS = 60;

async function rateOf(gpu: GpuDevice, recorder: Recorder, plan: KernelPlan, aType: OperandDtype, dtype: PackedDtype, size: (typeof SIZES)[number]): Promise<{ rate: number; ms: number }> {
  const { rows, columns, k } = size;
  const a = filledOperand(gpu, rows, k, aType);
  const b = filledMatrix(gpu, columns, k, dtype);
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
    for (const size of SIZES) {
      const { rate, ms } = await rateOf(gpu, recorder, plan, aType, dtype, size);
      best = Math.max(best, rate);
      if (ms >= TOO_QUICK_MS) break;
    }
  }
  recorder.destroy();
  return best;
}
