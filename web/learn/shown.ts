/** What the big drawing shows: the simulated schedule of the settings, or the timeline of a real run. */
import { computed, signal } from '@preact/signals';
import type { TraceEvent } from '../../src/trace/events.ts';
import { staysOf, type Stay } from './drawing/slots.ts';
import { passesOf, timelineOf, viewOf, type Timeline, type View } from './drawing/timeline.ts';
import { scenarioOf } from './scenario.ts';
import { settings } from './settings.ts';

export interface RealRun {
  /** File name, or what ran in this tab. */
  readonly label: string;
  /** By start; times on any clock. */
  readonly events: readonly TraceEvent[];
}

/** null: the simulated schedule. */
export const realRun = signal<RealRun | null>(null);

/** Numbers of the simulated schedule. */
export const scenario = computed(() => scenarioOf(settings.value));

/** What the reader chose, for the run it was chosen in. */
const chosenPass = signal<{ readonly run: RealRun; readonly pass: number | null } | null>(null);

const realTimeline = computed(() => timelineOf(realRun.value?.events ?? []));
export const realPasses = computed(() => passesOf(realTimeline.value));
/** The pass of the real run that is shown; null: all of it. The second until the reader chooses: in the first not everything flows yet. */
export const realPass = computed((): number | null => {
  const run = realRun.value;
  if (chosenPass.value !== null && chosenPass.value.run === run) return chosenPass.value.pass;
  return realPasses.value[1] ?? null;
});
export function showPass(pass: number | null): void {
  if (realRun.value !== null) chosenPass.value = { run: realRun.value, pass };
}

/** A device of a real run has two slots; traces do not say when offload gave it more. */
const REAL_SLOTS = 2;

export interface Drawing {
  readonly isReal: boolean;
  readonly timeline: Timeline;
  readonly view: View;
  readonly slots: number;
  /** Of each rank of the timeline. */
  readonly stays: readonly (readonly Stay[])[];
}

const drawingOf = (timeline: Timeline, view: View, slots: number, isReal: boolean): Drawing => {
  const stays = timeline.ranks.map((rank) => staysOf(rank, slots));
  return { isReal, timeline, view, slots: stays.some(({ length }) => length > 0) ? slots : 0, stays };
};

const simulated = computed((): Drawing => {
  const { run: { events, wallMs }, slots } = scenario.value;
  return drawingOf(timelineOf(events), { fromMs: 0, toMs: wallMs }, slots, false);
});

/** What is drawn. */
export const drawing = computed((): Drawing =>
  (realRun.value === null ? simulated.value : drawingOf(realTimeline.value, viewOf(realTimeline.value, realPass.value), REAL_SLOTS, true)));

/** Length of the red in the view, milliseconds; mean over the ranks. */
export const exposedMs = computed((): number => {
  const { timeline: { ranks }, view: { fromMs, toMs } } = drawing.value;
  const red = ranks.flatMap(({ exposed }) => exposed.map(([from, to]) => Math.max(0, Math.min(to, toMs) - Math.max(from, fromMs))));
  return red.reduce((sum, ms) => sum + ms, 0) / Math.max(1, ranks.length);
});
