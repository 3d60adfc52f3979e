/** Kernels that work row by row: embedding, RMSNorm, gathering of rows, candidate head. */
import type { GpuDevice } from '../device.ts';
import { CELL } from '../layout.ts';
import { cellsOf, type PackedMatrix } from '../matrix.ts';
import type { OperandDtype } from '../plan.ts';
import { f32, type Binding, type Recorder } from '../recorder.ts';

const THREADS = 64;
const MAX_GROUPS = 32768; // rmsnorm.wgsl counts panels in lines of this many groups
const groups = (n: number): number => Math.ceil(n / THREADS);

/** x[t] = table[tokens[t]]; x is f32 row-major, its rows padded to a multiple of 8. */
export function embedding(gpu: GpuDevice, recorder: Recorder, op: { readonly count: number; readonly tokens: Binding; readonly table: PackedMatrix; readonly x: Binding }): void {
  const k8 = cellsOf(op.table.k);
  const kernel = gpu.pipelines.get('embedding', { wType: op.table.dtype });
  for (const bank of op.table.banks) {
    recorder.dispatch(kernel, [op.count, k8, bank.firstRow, bank.rows], [op.tokens, bank.buffer, op.x], groups(k8), op.count);
  }
}

export interface RmsNorm {
  readonly rows: number;
  readonly hidden: number;
  readonly eps: number;
  readonly x: Binding;
  /** f32 [hidden padded to 8] */
  readonly weight: Binding;
  /** Packed [rows, hidden]. */
  readonly y: Binding;
  readonly type: OperandDtype;
  /** A second packed copy in f32. */
  readonly y32?: Binding;
  /** u32 [rows]: the rows of x to take; otherwise rows 0 .. */
  readonly gather?: Binding;
}

export function rmsNorm(gpu: GpuDevice, recorder: Recorder, op: RmsNorm): void {
  const kernel = gpu.pipelines.get('rmsnorm', { L: gpu.subgroupSize, aType: op.type, dual: op.y32 !== undefined, gather: op.gather !== undefined });
  const buffers = [op.x, op.weight, op.y, ...(op.y32 ? [op.y32] : []), ...(op.gather ? [op.gather] : [])];
  const params = [op.rows, cellsOf(op.hidden), op.hidden, f32(op.eps)];
  const panels = Math.ceil(op.rows / CELL);
  recorder.dispatch(kernel, params, buffers, Math.min(panels, MAX_GROUPS), Math.ceil(panels / MAX_GROUPS));
}

/** out[r] = x[rows[r]]; `stride` elements a row, a multiple of 4. */
export function gatherRows(gpu: GpuDevice, recorder: Recorder, op: { readonly count: number; readonly stride: number; readonly x: Binding; readonly rows: Binding; readonly out: Binding }): void {
  const h4 = op.stride / 4;
  recorder.dispatch(gpu.pipelines.get('gather-rows', {}), [op.count, h4], [op.x, op.rows, op.out], groups(h4), op.count);
}

/** logits[s, c] = h[s] . head[candidates[c]]; h packed f32. */
export function candidateHead(gpu: GpuDevice, recorder: Recorder, op: { readonly sequences: number; readonly candidates: Binding; readonly count: number; readonly h: Binding; readonly head: PackedMatrix; readonly logits: Binding }): void {
  const kernel = gpu.pipelines.get('candidate-head', { wType: op.head.dtype });
  for (const bank of op.head.banks) {
    const params = [op.sequences, op.count, cellsOf(op.head.k), bank.firstRow, bank.rows];
    recorder.dispatch(kernel, params, [op.h, bank.buffer, op.candidates, op.logits], groups(op.count), op.sequences);
  }
}
