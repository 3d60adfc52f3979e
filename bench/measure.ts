/**
 * Timing on a machine that is never quiet: all subjects run in turn, round after round, and are compared within a round; what is reported is
 * the median with the extremes beside it. CPU seconds stand beside wall time, because on a software adapter they tell what a kernel costs
 * when other programs take their share of the cores.
 */
import { cpus } from 'node:os';
import type { GpuDevice } from '../src/runtime/device.ts';
import type { Recorder } from '../src/runtime/recorder.ts';
import { timeRuns, type RecordRun } from '../src/runtime/matmul-rate.ts';

/** Time of one sample, per run. */
export interface Sample {
  readonly ms: number;
  /** Of all threads of the process that computes. */
  readonly cpuMs: number;
}

export interface Subject {
  readonly name: string;
  /** Why this variant might be good, in one line. */
  readonly why: string;
  readonly flops: number;
  /** Time from nothing to the first result. */
  readonly firstMs: number;
  /** Relative L2 error of sampled elements against float64; undefined for what others compute. */
  readonly error?: number;
  sample(): Promise<Sample>;
}

/** One of our kernels: first run (compiles), number of repeats that fills `sampleMs`. */
export async function kernelSubject(
  gpu: GpuDevice, recorder: Recorder, { name, why, flops, record, check }: { name: string; why: string; flops: number; record: RecordRun; check: () => Promise<number> }, sampleMs: number,
): Promise<Subject> {
  const firstMs = await timeRuns(gpu, recorder, record, 1);
  const error = await check();
  const repeats = Math.max(1, Math.round(sampleMs / (await timeRuns(gpu, recorder, record, 1))));
  return {
    name, why, flops, firstMs, error,
    async sample() {
      const before = process.cpuUsage();
      const ms = (await timeRuns(gpu, recorder, record, repeats)) / repeats;
      const { user, system } = process.cpuUsage(before);
      return { ms, cpuMs: (user + system) / 1e3 / repeats };
    },
  };
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

export interface Measured {
  readonly name: string;
  readonly why: string;
  readonly firstMs: number;
  readonly error?: number;
  /** 1e9 FLOP per second of wall time. */
  readonly gflops: Spread;
  /** 1e9 FLOP per CPU second times the number of cores: what a quiet machine would give. */
  readonly cpuGflops: Spread;
  readonly samples: readonly Sample[];
}

/** Every subject in turn, `rounds` times. */
export async function measure(subjects: readonly Subject[], rounds: number): Promise<Measured[]> {
  const samples = new Map<Subject, Sample[]>(subjects.map((subject) => [subject, []]));
  for (let round = 0; round < rounds; round++) {
    for (const subject of subjects) samples.get(subject)?.push(await subject.sample());
  }
  return subjects.map((subject) => {
    const { name, why, firstMs, error, flops } = subject;
    const taken = samples.get(subject) ?? [];
    return {
      name, why, firstMs, ...(error !== undefined && { error }), samples: taken,
      gflops: spread(taken.map(({ ms }) => flops / ms / 1e6)),
      cpuGflops: spread(taken.map(({ cpuMs }) => (flops / cpuMs / 1e6) * cpus().length)),
    };
  });
}

/** How many times the rate of `base` that `subject` reached, within the same round; by CPU seconds on software adapters. */
export function ratio(subject: Measured, base: Measured, key: 'gflops' | 'cpuGflops', work = { subject: 1, base: 1 }): Spread {
  const time = key === 'gflops' ? 'ms' : 'cpuMs';
  return spread(subject.samples.map((sample, i) => (work.subject / sample[time]) / (work.base / base.samples[i]![time])));
}

const number = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2));
export const showSpread = ({ median, min, max }: Spread): string => `${number(median)} [${number(min)}..${number(max)}]`;

/** Columns padded to the widest cell. */
export function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const row of rows) console.log(`  ${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd()}`);
}
