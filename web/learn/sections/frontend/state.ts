/** What the reader has set and sees of this section. It has a clock of its own: the reader's seconds at speed 1, see timeline.ts. */
import { batch, computed, signal, type ReadonlySignal } from '@preact/signals';
import { SCHEDULERS, type SchedulerKind } from '../../../../src/serving/scheduling.ts';
import { settings } from '../../settings.ts';
import { figuresOfPasses, type FrontendFigures } from './figures.ts';
import { runFrontend } from './model.ts';
import type { FrontendRun } from './moments.ts';
import { FIRST_FRONTEND_SETTINGS, type FrontendSettings } from './scene.ts';
import { isSpill } from './sentences.ts';
import { momentsOfArrival, momentsUntil, readerSeconds, runMs, stepFrom } from './timeline.ts';
import { viewAfter } from './view.ts';

/** What can be set here; the margin is that of the whole page. */
export type OwnSettings = Omit<FrontendSettings, 'gamma'>;

const own = signal<OwnSettings>(FIRST_FRONTEND_SETTINGS);
export const frontendSettings: ReadonlySignal<FrontendSettings> = computed(() => ({ ...own.value, gamma: settings.value.gamma }));

export const run = computed(() => runFrontend(frontendSettings.value));
const seconds = computed(() => readerSeconds(run.value));
/** Until everything has happened. */
export const lengthSeconds = computed(() => seconds.value.at(-1) as number);

const at = signal(0);
/** Where the reader is. */
export const atSeconds: ReadonlySignal<number> = computed(() => Math.min(at.value, lengthSeconds.value));
export const playing = signal(false);
export const speed = signal(1);

/** Moments that have happened. */
export const happened = computed(() => momentsUntil(seconds.value, atSeconds.value));
/** When a moment happened, on the reader's clock. */
export const secondsOf = (moment: number): number => seconds.value[moment] as number;
export const view = computed(() => viewAfter(run.value, happened.value));
/** The run's own clock. */
export const nowMs = computed(() => runMs(run.value, seconds.value, atSeconds.value));

/** Figures of what has left so far; null before. */
export const figuresSoFar = computed(() => figuresOfPasses(view.value.passes, run.value.settings.engines, run.value.scene.threshold));

/** One line of the table. */
export interface SchedulerFigures {
  readonly scheduler: SchedulerKind;
  readonly figures: FrontendFigures;
}

const ofWholeRun = ({ passes, settings: { engines }, scene: { threshold } }: FrontendRun): FrontendFigures => figuresOfPasses(passes, engines, threshold) as FrontendFigures;

/** Figures of whole runs with each scheduler: the same requests, nothing drawn. */
export const allFigures: ReadonlySignal<readonly SchedulerFigures[]> = computed(() => SCHEDULERS.map((scheduler) =>
  ({ scheduler, figures: ofWholeRun(scheduler === run.value.settings.scheduler ? run.value : runFrontend({ ...run.value.settings, scheduler })) })));

/** Shows so many moments. */
function show(count: number): void {
  at.value = count === 0 ? 0 : secondsOf(count - 1);
}

/** Sets some values. As many requests have come afterwards as before. */
export function change(patch: Partial<OwnSettings>): void {
  batch(() => {
    const { arrived } = view.value;
    own.value = { ...own.value, ...patch };
    show(momentsOfArrival(run.value.moments, arrived));
  });
}

export function play(): void {
  if (atSeconds.value >= lengthSeconds.value) at.value = 0;
  playing.value = true;
}

export const pause = (): void => void (playing.value = false);

/** Back to the time before the first request. */
export function restart(): void {
  at.value = 0;
}

export function seek(toSeconds: number): void {
  at.value = Math.min(lengthSeconds.value, Math.max(0, toSeconds));
}

/** To the next decision about a request, or back to the one before. */
export function step(direction: 1 | -1): void {
  pause();
  show(stepFrom(run.value.moments, happened.value, direction));
}

/** Lets some of the reader's seconds go by. */
export function advance(passedSeconds: number): void {
  seek(atSeconds.value + passedSeconds * speed.value);
  if (atSeconds.value >= lengthSeconds.value) pause();
}

/** To what there is most to see in: the first time that a prefix spills over. */
export function showFirstSpill(): void {
  show(run.value.moments.findIndex((moment) => isSpill(run.value, moment)) + 1);
}
