/** Real runs that the reader has brought or made here, and which of them the drawing shows. */
import { signal } from '@preact/signals';
import { realRun, type RealRun } from '../../shown.ts';

/** The newest last; a label stands for one run. */
export const runs = signal<readonly RealRun[]>([]);

/** Adds a run, in place of one with the same label, and shows it. */
export function showRun(run: RealRun): void {
  runs.value = [...runs.value.filter(({ label }) => label !== run.label), run];
  realRun.value = run;
}

/** Shows the run of that label; another label shows the simulated schedule again. */
export function chooseRun(label: string): void {
  realRun.value = runs.value.find((run) => run.label === label) ?? null;
}
