/** Rates of a machine as `bench strategies --json` measured them, in place of those of a preset. */
import * as z from 'zod';
import { InputError } from '../../errors.ts';
import type { Figure, HardwarePreset } from '../presets/hardware-schema.ts';

const positive = z.number().positive();

/** The part of the report that is used. */
const benchSchema = z.object({
  worlds: z.array(z.object({
    ranks: z.int().positive(),
    matmulFlopsPerSecond: positive,
    kernelFlopsPerSecond: positive,
    /** Infinity is null in JSON. */
    link: z.object({ bytesPerSecond: positive.nullable(), latencyMs: z.number().nonnegative() }).nullable(),
    gatherMs: positive.nullable(),
  })).min(1),
  config: z.object({
    hiddenSize: positive, moeIntermediateSize: positive, numExperts: positive, dtype: z.enum(['F32', 'F16', 'BF16']),
  }),
});
export type BenchReport = z.infer<typeof benchSchema>;

/** @throws InputError naming the field */
export function parseBench(json: unknown, source: string): BenchReport {
  const result = benchSchema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new InputError(source, issue?.path.join('.') ?? '', `${issue?.message ?? 'is no report'}; expected what bench strategies --json writes`);
}

/** What a link carried: as it was shaped, else what the slowest gather of a layer came to. */
function linkRate({ config }: BenchReport, { link, gatherMs, ranks }: BenchReport['worlds'][number]): { readonly bytesPerSecond: number; readonly latencyMs: number } | null {
  if (link?.bytesPerSecond != null) return { bytesPerSecond: link.bytesPerSecond, latencyMs: link.latencyMs };
  if (gatherMs === null || ranks === 1) return null;
  const weightBytes = config.dtype === 'F32' ? 4 : 2;
  const layerBytes = 3 * config.hiddenSize * config.moeIntermediateSize * config.numExperts * weightBytes;
  return { bytesPerSecond: (layerBytes * (ranks - 1)) / ranks / (gatherMs / 1000), latencyMs: 0 };
}

/**
 * `hardware` with measured rates: peak (the matmul rate), what passes reach of it, and the link, from the world of as many ranks, or the one that
 * is nearest. Memory and the host link stay.
 */
export function calibrate(hardware: HardwarePreset, report: BenchReport, ranks: number, source: string): HardwarePreset {
  const world = report.worlds.reduce((best, other) => (Math.abs(other.ranks - ranks) < Math.abs(best.ranks - ranks) ? other : best));
  const figure = (value: number): Figure => ({ value, kind: 'measured', source: `${source}, ${world.ranks} ranks` });
  const rate = linkRate(report, world);
  const peak = figure(world.matmulFlopsPerSecond);
  return {
    ...hardware,
    flopsPerSecond: { fp32: peak },
    mfu: figure(Math.min(1, world.kernelFlopsPerSecond / world.matmulFlopsPerSecond)),
    link: rate === null || hardware.link === null ? hardware.link : {
      bytesPerSecond: figure(rate.bytesPerSecond),
      latencyMs: rate.latencyMs > 0 ? figure(rate.latencyMs) : { value: 1e-6, kind: 'measured', source: `${source}: within the time of a gather` },
    },
  };
}
