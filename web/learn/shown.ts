/** What the big drawing shows: the simulated schedule of the settings, or the timeline of a real run. */
import { signal } from '@preact/signals';
import type { TraceEvent } from '../../src/trace/events.ts';

export interface RealRun {
  /** File name, or what ran in this tab. */
  readonly label: string;
  /** By start; times on any clock. */
  readonly events: readonly TraceEvent[];
}

/** null: the simulated schedule. */
export const realRun = signal<RealRun | null>(null);
