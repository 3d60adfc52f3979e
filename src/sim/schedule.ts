/** When each step of a given list of steps runs. A step begins as soon as everything that it comes after is over and its channels are free (simulation.ts). */
import { Simulation } from './simulation.ts';
import { isDevice, StepBuilder, stepOf, type Step, type StepDraft } from './steps.ts';
import { NO_CHANNEL } from './step-table.ts';

export type { ComputePart, Rates, Step, StepPlace } from './steps.ts';

/** Collects steps; they are named by their index. */
export class Steps extends StepBuilder {
  readonly list: Step[] = [];

  protected add(draft: Readonly<StepDraft>): number {
    return this.list.push(stepOf(draft, draft.after)) - 1;
  }
}

/** When each step began and was over, milliseconds, by index. */
export interface Schedule {
  readonly steps: readonly Step[];
  readonly startMs: Float64Array;
  readonly endMs: Float64Array;
  /** When the last step was over. */
  readonly wallMs: number;
}

/**
 * Runs the steps. Their `after` point backwards, so there is always one that can begin.
 * @param processors how many devices can compute at the same time, where ranks share them; a step has its processor to itself
 */
export function simulate(steps: readonly Step[], processors = Infinity): Schedule {
  const [startMs, endMs] = [new Float64Array(steps.length), new Float64Array(steps.length)];
  let wallMs = 0;
  const onStart = (step: number, start: number, end: number): void => {
    [startMs[step], endMs[step]] = [start, end];
    wallMs = Math.max(wallMs, end);
  };
  const simulation = new Simulation({ processors, needsProcessor: isDevice, onStart });
  const ids: number[] = [];
  for (const { after, busyMs, delayMs, channels: [channel, other] } of steps) {
    ids.push(simulation.add(after.map((index) => ids[index] as number), busyMs, delayMs, channel as number, other ?? NO_CHANNEL));
  }
  simulation.run();
  return { steps, startMs, endMs, wallMs };
}
