/**
 * Which variant of each kernel a device runs. Every rank of a world with the same kind of adapter uses the same plan:
 * that is what makes their logits equal to the last bit.
 */
import { z } from 'zod';
import type { GpuDevice } from './device.ts';

/** `broadcast`: one subgroup, R rows x C column groups, needs a fixed subgroup size L. `tiled`: workgroup memory, runs anywhere. */
export const matmulShapeSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('broadcast'), L: z.int(), R: z.int(), C: z.int() }),
  z.object({ kind: z.literal('tiled') }),
]);
export type MatmulShape = z.infer<typeof matmulShapeSchema>;

/** `broadcast`: QB queries a lane, KT keys a step. `tiled`: a query a thread, 16 keys a step. */
export const attentionShapeSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('broadcast'), L: z.int(), QB: z.int(), KT: z.int() }),
  z.object({ kind: z.literal('tiled') }),
]);
export type AttentionShape = z.infer<typeof attentionShapeSchema>;

export const kernelPlanSchema = z.object({
  /**
   * Element type of activations where they are operands of a product; sums and the residual stream are always f32.
   * Attention and experts are told apart, because rounding before the softmax costs far more accuracy than rounding before an expert.
   */
  operands: z.object({
    /** Input of QKV and of the output projection; q, k and v. */
    attention: z.enum(['f32', 'f16']),
    /** Input of the experts' products (the router's is f32 always). */
    experts: z.enum(['f32', 'f16']),
  }),
  dense: matmulShapeSchema,
  grouped: matmulShapeSchema,
  attention: attentionShapeSchema,
});
export type KernelPlan = z.infer<typeof kernelPlanSchema>;
export type OperandDtype = KernelPlan['operands']['attention'];

/** Rows of one workgroup's tile. */
export const tileRows = (shape: MatmulShape): number => (shape.kind === 'tiled' ? 64 : shape.R);

/** Queries of one attention tile. */
export const attentionRows = (shape: AttentionShape): number => (shape.kind === 'tiled' ? 64 : shape.QB * shape.L);

/** Subgroups up to this size are taken for a software adapter's vector registers, where broadcasts beat workgroup memory. */
const SMALL_SUBGROUP = 16;

/** Sound settings for an adapter that was not tuned. */
export function defaultPlan(gpu: Pick<GpuDevice, 'subgroupSize'>, operands: KernelPlan['operands'] = { attention: 'f32', experts: 'f32' }): KernelPlan {
  const L = gpu.subgroupSize;
  if (L < 4 || L > SMALL_SUBGROUP) return { operands, dense: { kind: 'tiled' }, grouped: { kind: 'tiled' }, attention: { kind: 'tiled' } };
  // 32 sums a lane: half of what is fastest, and half the time to compile. Experts have few rows each: tiles of L rows leave short tails.
  const few: MatmulShape = { kind: 'broadcast', L, R: Math.max(8, L), C: 4 };
  return {
    operands,
    dense: L === 4 ? few : { kind: 'broadcast', L, R: 2 * L, C: 2 },
    grouped: few,
    attention: { kind: 'broadcast', L, QB: 2, KT: 16 },
  };
}
