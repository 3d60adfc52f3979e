/** What was measured, as it is stored: enough to predict every run anew without running anything. */
import type { Overheads } from '../../src/sim/overheads.ts';
import type { RunShape, SimStrategy } from '../../src/sim/run-shape.ts';

/** One strategy in one world. */
export interface MeasuredRun {
  readonly strategy: SimStrategy;
  /** Those of the world; fewer in the runs that tell what a pass costs however small it is. */
  readonly batchTokens: number;
  /** Why it cannot run; then there is nothing else. */
  readonly reason: string | null;
  /** Of each repetition, in order. Those of all runs of a world are interleaved. */
  readonly wallMs: readonly number[];
  /** CPU time of all ranks and the coordinator. */
  readonly cpuMs: readonly number[];
  /** Share of the cores' time that other programs took; null: not known. */
  readonly othersShare: readonly (number | null)[];
  /** Sums over all passes of all ranks, as `bench strategies` has them; of each repetition. */
  readonly exposedMs: readonly number[];
}

/** All strategies on one number of ranks over one link. */
export interface MeasuredWorld {
  /** Names of the model's shape and of the link. */
  readonly model: string;
  readonly link: string;
  /** All but the model and the strategy, see {@link RunShape}; the rate is not used. */
  readonly shape: Omit<RunShape, 'config' | 'strategy' | 'flopsPerSecond'>;
  /** Of each rank. */
  readonly cores: number;
  readonly runs: readonly MeasuredRun[];
}

export interface Measured {
  readonly date: string;
  readonly command: string;
  readonly commit: string;
  readonly machine: string;
  readonly adapters: readonly string[];
  /** Fitted to some of the worlds; null: those were not measured. */
  readonly overheads: Overheads | null;
  readonly worlds: readonly MeasuredWorld[];
}

/** A line for each run, so that changes can be read. */
export function measuredJson({ worlds, ...place }: Measured): string {
  const world = ({ runs, ...rest }: MeasuredWorld): string => `${JSON.stringify(rest).slice(0, -1)},"runs":[\n${runs.map((run) => `  ${JSON.stringify(run)}`).join(',\n')}\n]}`;
  return `${JSON.stringify(place).slice(0, -1)},"worlds":[\n${worlds.map(world).join(',\n')}\n]}\n`;
}
