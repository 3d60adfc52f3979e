/** What a machine is, as plans need it: checked by zod, because a file of one's own may say it (`--hardware machine.json`). */
import * as z from 'zod';
import { InputError } from '../../errors.ts';

/** A number with where it is from. */
const figureSchema = z.object({
  value: z.number().positive(),
  kind: z.enum(['data sheet', 'measured', 'estimate']),
  /** Title and address of a data sheet, the command of a measurement, or the reasoning of an estimate. */
  source: z.string().min(1),
});
export type Figure = z.infer<typeof figureSchema>;

export const hardwareSchema = z.object({
  name: z.string().min(1),
  title: z.string().min(1),
  /** In one machine. */
  devices: z.int().positive(),
  /** Peak dense FLOP/s of one device by the precision of weights, multiply-add = 2, sums in 32 bits where that is told apart. */
  flopsPerSecond: z.object({ fp32: figureSchema, bf16: figureSchema.optional(), fp8: figureSchema.optional() }),
  /** Share of the peak that whole passes reach where nothing is waited for. */
  mfu: figureSchema,
  memoryBytes: figureSchema,
  memoryBytesPerSecond: figureSchema,
  /** Between devices, of one device in each direction; null for a machine of one. */
  link: z.object({ bytesPerSecond: figureSchema, latencyMs: figureSchema }).nullable(),
  /** From host memory to one device. */
  hostBytesPerSecond: figureSchema,
});
export type HardwarePreset = z.infer<typeof hardwareSchema>;

/** Bytes of a weight by the precision it has on the device and on the wire. */
export const PRECISION_BYTES = { fp32: 4, bf16: 2, fp8: 1 } as const;
export type Precision = keyof typeof PRECISION_BYTES;
export const PRECISIONS = Object.keys(PRECISION_BYTES) as readonly Precision[];

/**
 * @param source what messages call it
 * @throws InputError naming the field
 */
export function parseHardware(json: unknown, source: string): HardwarePreset {
  const result = hardwareSchema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new InputError(source, issue?.path.join('.') ?? '', issue?.message ?? 'is not a machine');
}
