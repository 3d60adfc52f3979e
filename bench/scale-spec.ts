/** What one run of `bench:scale` is: told to a process of its own as JSON, so that memory is that of the run. */
import * as z from 'zod';
import { SCHEDULERS } from '../src/serving/scheduling.ts';
import { ARRANGEMENTS } from '../src/sim/topology.ts';
import { workloadNames } from '../src/sim/workload.ts';

export const specSchema = z.object({
  ranks: z.int().positive(),
  requests: z.int().positive(),
  workload: z.enum(workloadNames),
  scheduler: z.enum(SCHEDULERS),
  arrangement: z.enum(ARRANGEMENTS),
  /** Of replicas. */
  worldRanks: z.int().positive().optional(),
  /** Of each device's adapter. */
  networkGbits: z.number().positive(),
  /** Tokens to compute of one batch at most, instead of 65,536. */
  batchTokens: z.int().positive().optional(),
  /** Requests come one after the other, so that they need this share of what all ranks compute; all at once by default. */
  load: z.number().positive().optional(),
});
export type ScaleSpec = z.infer<typeof specSchema>;

/** `speed`: the simulator's own core, layer by layer, where no rank waits for another. `study`: passes as a whole, ranks in step. */
export const RUN_KINDS = ['speed', 'study'] as const;
export type RunKind = (typeof RUN_KINDS)[number];

/** In a child's answer beside what it found. */
export interface Measured {
  readonly seconds: number;
  /** Of all threads: what it would take about, were nobody else at work. */
  readonly cpuSeconds: number;
  /** Resident memory of the process at its largest, bytes. */
  readonly peakBytes: number;
}
