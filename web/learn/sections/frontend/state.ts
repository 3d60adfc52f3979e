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

/** What the sliders of this section set; the margin is that of the whole page. */
export type OwnSettings = Omit<FrontendSettings, 'gamma' | 'scheduler'>;

const own = signal<OwnSettings>(FIRST_FRONTEND_SETTINGS);
const chosen = signal<SchedulerKind>(FIRST_FRONTEND_SETTINGS.scheduler);
/** By itself, so that other sliders of the page change nothing here. */
const gamma = computed(() => settings.value.gamma);

/** The same requests under each scheduler; played through when somebody looks. */
const runs = new Map(SCHEDULERS.map((scheduler) => [scheduler, computed(() => runFrontend({ ...own.value, gamma: gamma.value, scheduler }))]));
const runOf = (scheduler: SchedulerKind): FrontendRun => (runs.get(scheduler) as ReadonlySignal<FrontendRun>).value;

/** The one that is drawn. */
export const run = computed(() => runOf(chosen.value));
/** Its settings. */
export const frontendSettings = computed(() => run.value.settings);
const seconds = computed(() => readerSeconds(run.value));
/** Until everything has happened. */
export const lengthSeconds = computed(() => seconds.value.at(-1) as number);

const at = signal(0);
/** Where the reader is. */
export const atSeconds: ReadonlySignal<number> = computed(() => Math.min(at.value, lengthSeconds.value));
/** Whether time goes by itself. */
export const playing = signal(false);
/** Of the reader's clock. */
export const speed = signal(1);

/** Moments that have happened. */
export const happened = computed(() => momentsUntil(seconds.value, atSeconds.value));
/** When a moment happened, on the reader's clock. */
export const secondsOf = (moment: number): number => seconds.value[moment] as number;
/** What they left. */
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
export const allFigures: ReadonlySignal<readonly SchedulerFigures[]> = computed(() => SCHEDULERS.map((scheduler) => ({ scheduler, figures: ofWholeRun(runOf(scheduler)) })));

/** Shows so many moments. */
function show(count: number): void {
  at.value = count === 0 ? 0 : secondsOf(count - 1);
}

/** Changes what is drawn; as many requests have come afterwards as before. */
function keepingPlace(set: () => void): void {
  batch(() => {
    const { arrived } = view.value;
    set();
    show(momentsOfArrival(run.value.moments, arrived));
  });
}

/** Sets some values. */
export const change = (patch: Partial<OwnSettings>): void => keepingPlace(() => { own.value = { ...own.value, ...patch }; });

export const choose = (scheduler: SchedulerKind): void => keepingPlace(() => { chosen.value = scheduler; });

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

const steppedTo = signal(-1);
/** The reader is where the last step led. */
export const stepped = computed(() => !playing.value && steppedTo.value === happened.value);

/** To the next decision about a request, or back to the one before. */
export function step(direction: 1 | -1): void {
  pause();
  steppedTo.value = stepFrom(run.value.moments, happened.value, direction);
  show(steppedTo.value);
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
