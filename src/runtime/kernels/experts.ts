/** Routing on the device: top-k, expert sort, combine. The host never learns who went where. */
import type { GpuDevice } from '../device.ts';
import type { Binding, Recorder } from '../recorder.ts';

const THREADS = 64;
const groups = (n: number): number => Math.ceil(n / THREADS);

export interface RouterTopK {
  readonly tokens: number;
  readonly experts: number;
  readonly topK: number;
  /** norm_topk_prob: probabilities of the chosen sum to one. */
  readonly renormalise: boolean;
  /** f32 [tokens, experts] */
  readonly logits: Binding;
  /** u32 [tokens, topK] */
  readonly ids: Binding;
  /** f32 [tokens, topK] */
  readonly weights: Binding;
}

/** Softmax over the experts and the topK largest. */
export function routerTopK(gpu: GpuDevice, recorder: Recorder, op: RouterTopK): void {
  const kernel = gpu.pipelines.get('router-topk', { k: op.topK, renormalise: op.renormalise });
  recorder.dispatch(kernel, [op.tokens, op.experts], [op.logits, op.ids, op.weights], groups(op.tokens));
}

export interface ExpertSort {
  readonly tokens: number;
  readonly experts: number;
  readonly topK: number;
  /** Rows of one tile of the grouped product. */
  readonly tileRows: number;
  readonly ids: Binding;
  /** u32 [E] scratch. */
  readonly counts: Binding;
  /** u32 [tokens * topK] scratch. */
  readonly ranks: Binding;
  /** u32 [E + 1] */
  readonly offsets: Binding;
  /** u32 [E + 1] */
  readonly tileBase: Binding;
  /** vec4<u32> [maxTiles] */
  readonly tiles: Binding;
  /** u32 [tokens * topK]: token of a sorted row. */
  readonly rowToken: Binding;
  /** u32 [tokens * topK]: sorted row of a (token, choice) pair. */
  readonly pairRow: Binding;
}

/** Most tiles that `pairs` rows of `experts` experts can make. */
export const maxExpertTiles = (pairs: number, experts: number, tileRows: number): number =>
  Math.min(pairs, Math.floor(pairs / tileRows) + Math.min(experts, pairs));

/** Counts, scans and scatters (token, choice) pairs by expert. */
export function expertSort(gpu: GpuDevice, recorder: Recorder, op: ExpertSort): void {
  const pairs = op.tokens * op.topK;
  fill(gpu, recorder, op.counts, op.experts, 0);
  recorder.dispatch(gpu.pipelines.get('expert-count', {}), [pairs], [op.ids, op.counts, op.ranks], groups(pairs));
  recorder.dispatch(gpu.pipelines.get('expert-scan', {}), [op.experts, op.tileRows], [op.counts, op.offsets, op.tileBase, op.tiles], 1);
  recorder.dispatch(gpu.pipelines.get('expert-scatter', {}), [pairs, op.topK], [op.ids, op.ranks, op.offsets, op.rowToken, op.pairRow], groups(pairs));
}

/** buffer[0 .. count) = value (u32). */
export function fill(gpu: GpuDevice, recorder: Recorder, buffer: Binding, count: number, value: number): void {
  recorder.dispatch(gpu.pipelines.get('fill', {}), [count, value], [buffer], groups(count));
}

export interface Combine {
  readonly tokens: number;
  /** Elements of a row of `x` and `y`, a multiple of 4. */
  readonly stride: number;
  readonly topK: number;
  readonly y: Binding;
  readonly pairRow: Binding;
  /** f32 [tokens, topK]; a row of `y` whose weight is 0 is not read. */
  readonly weights: Binding;
  readonly x: Binding;
  /** x = the sum, instead of x += the sum. */
  readonly assign?: boolean;
}

/** x[t] += sum_j weights[t, j] y[pairRow[t, j]]. */
export function combine(gpu: GpuDevice, recorder: Recorder, op: Combine): void {
  const h4 = op.stride / 4;
  recorder.dispatch(gpu.pipelines.get('combine', { assign: op.assign ?? false }), [op.tokens, h4, op.topK, 0], [op.y, op.pairRow, op.weights, op.x], groups(h4), op.tokens);
}
