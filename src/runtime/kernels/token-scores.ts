/** Scores of whole rows of logits: normalizer, logit of the token that follows, the likeliest tokens. */
import type { GpuDevice } from '../device.ts';
import type { Binding, Recorder } from '../recorder.ts';

/** Instead of a token that follows, where none does. */
export const NO_TOKEN = 0xffffffff;

export interface TokenScoresOp {
  readonly rows: number;
  readonly vocabulary: number;
  /** k of top-k, at most `vocabulary`. */
  readonly top: number;
  /** f32 [rows, vocabulary] */
  readonly logits: Binding;
  /** u32 [rows]: the token that follows, or {@link NO_TOKEN}. */
  readonly next: Binding;
  /** Rows of {@link scoreWords} words; those from `firstRow` on are written. */
  readonly scores: Binding;
  readonly firstRow: number;
}

/** Words of one row of scores: normalizer (f32), logit of the token that follows (f32, 0 for none), `top` tokens (u32), their logits (f32). */
export const scoreWords = (top: number): number => 2 + 2 * top;

/** normalizer = log(sum(exp(x))), x[next], and the `top` largest x with their tokens (the smaller token first among equals), of every row x. */
export function tokenScores(gpu: GpuDevice, recorder: Recorder, { rows, vocabulary, top, firstRow, ...buffers }: TokenScoresOp): void {
  if (top > vocabulary) throw new RangeError(`the ${top} largest of ${vocabulary} logits`);
  recorder.dispatch(gpu.pipelines.get('token-scores', {}), [vocabulary, top, firstRow], [buffers.logits, buffers.next, buffers.scores], rows);
}
