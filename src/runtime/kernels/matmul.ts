/** Matrix products: dense over banks of rows, grouped over banks of experts. */
import type { GpuDevice } from '../device.ts';
import type { PackedDtype } from '../layout.ts';
import { cellsOf, type PackedMatrix } from '../matrix.ts';
import { tileRows, type MatmulShape, type OperandDtype } from '../plan.ts';
import type { Binding, Recorder } from '../recorder.ts';

/** Columns of one workgroup's tile. */
const tileColumns = (shape: MatmulShape, swiglu: boolean): number =>
  (shape.kind === 'tiled' ? 64 : shape.L * shape.C) / (swiglu ? 2 : 1);

export interface Matmul {
  readonly shape: MatmulShape;
  /** Packed [rows, k] activations. */
  readonly a: Binding;
  readonly aType: OperandDtype;
  readonly b: PackedMatrix;
  readonly rows: number;
  /** f32 row-major. */
  readonly out: Binding;
  /** Elements from one row of `out` to the next. */
  readonly outStride: number;
  /** Rows of `b` to use: [firstColumn, firstColumn + columns); they become columns 0 .. of `out`. Default: all. */
  readonly firstColumn?: number;
  readonly columns?: number;
  /** Adds to what `out` holds (residual). */
  readonly accumulate?: boolean;
  /** f32 [columns] */
  readonly bias?: Binding;
}

/** out[m, n] (+)= sum_k a[m, k] b[n, k] (+ bias[n]): one dispatch per bank of `b`. */
export function matmul(gpu: GpuDevice, recorder: Recorder, op: Matmul): void {
  const first = op.firstColumn ?? 0;
  const end = first + (op.columns ?? op.b.rows - first);
  const { kind, ...size } = op.shape;
  const kernel = gpu.pipelines.get(`matmul-${kind}`, {
    ...size, aType: op.aType, bType: op.b.dtype, out: 'rows',
    grouped: false, swiglu: false, gatherA: false, accumulate: op.accumulate ?? false, bias: op.bias !== undefined,
  });
  for (const bank of op.b.banks) {
    const from = Math.max(first, bank.firstRow);
    const columns = Math.min(end, bank.firstRow + bank.rows) - from;
    if (columns <= 0) continue;
    const params = [op.rows, columns, cellsOf(op.b.k), op.outStride, from - bank.firstRow, from - first, 0, 0, 0, 0, 0, 0];
    const buffers = [op.a, bank.buffer, op.out, ...(op.bias ? [op.bias] : [])];
    recorder.dispatch(kernel, params, buffers, Math.ceil(columns / tileColumns(op.shape, false)), Math.ceil(op.rows / tileRows(op.shape)));
  }
}

/** Experts [first, first + count) of a layer in one buffer. */
export interface ExpertBank {
  readonly buffer: GPUBuffer;
  readonly firstExpert: number;
  readonly experts: number;
  /** Bytes from one expert to the next. */
  readonly expertBytes: number;
}

/** What the expert sort left on the device. */
export interface ExpertTiles {
  /** vec4<u32> (expert, first sorted row, rows, 0) */
  readonly tiles: Binding;
  /** u32 [E + 1] */
  readonly tileBase: Binding;
  /** Most tiles that there can be. */
  readonly maxTiles: number;
}

export interface GroupedMatmul {
  readonly shape: MatmulShape;
  readonly a: Binding;
  readonly aType: OperandDtype;
  readonly bType: PackedDtype;
  readonly banks: readonly ExpertBank[];
  readonly sorted: ExpertTiles;
  readonly k: number;
  /** Output columns (padded to 8 when `out` is packed). */
  readonly columns: number;
  /** Byte offset of the matrix inside an expert. */
  readonly matrixOffset: number;
  readonly out: Binding;
}

const VEC4_BYTES = 16;

function groupedDispatch(gpu: GpuDevice, recorder: Recorder, op: GroupedMatmul, options: Record<string, string | boolean>, upRow: number, outStride: number, extra: readonly Binding[]): void {
  const { kind, ...size } = op.shape;
  const kernel = gpu.pipelines.get(`matmul-${kind}`, { ...size, aType: op.aType, bType: op.bType, grouped: true, accumulate: false, bias: false, ...options });
  for (const bank of op.banks) {
    const params = [
      0, op.columns, cellsOf(op.k), outStride, 0, 0, upRow,
      bank.firstExpert, bank.firstExpert + bank.experts, bank.expertBytes / VEC4_BYTES, op.matrixOffset / VEC4_BYTES, 0,
    ];
    const buffers = [op.a, bank.buffer, op.out, op.sorted.tiles, op.sorted.tileBase, ...extra];
    recorder.dispatch(kernel, params, buffers, Math.ceil(op.columns / tileColumns(op.shape, options['swiglu'] === true)), op.sorted.maxTiles);
  }
}

/**
 * act[r, :] = silu(a[token(r)] gate^T) * (a[token(r)] up^T) for every sorted row r; packed output.
 * Gate and up stand in one matrix: gate in rows 0 .., up from `upRow`.
 */
export function groupedSwiglu(gpu: GpuDevice, recorder: Recorder, op: GroupedMatmul & { readonly upRow: number; readonly rowToken: Binding }): void {
  groupedDispatch(gpu, recorder, op, { swiglu: true, gatherA: true, out: 'packed', outType: op.aType }, op.upRow, cellsOf(op.columns), [op.rowToken]);
}

/** y[r, :] = a[r] down^T for every sorted row r; f32 row-major. */
export function groupedMatmul(gpu: GpuDevice, recorder: Recorder, op: GroupedMatmul): void {
  groupedDispatch(gpu, recorder, op, { swiglu: false, gatherA: false, out: 'rows' }, 0, op.columns, []);
}
