/** The clock of the big drawing. */
import { computed, signal } from '@preact/signals';

/** Moment that is shown, milliseconds of the drawing's own time. */
export const nowMs = signal(0);
/** Length of what is drawn; set by the drawing, see {@link setLength}. */
export const lengthMs = signal(1);
/** Moments at which something begins or ends, ascending; set by the drawing, used by {@link step}. */
export const momentsMs = signal<readonly number[]>([]);
export const playing = signal(false);
/** Of the drawing's time: at 1, the whole drawing takes {@link WHOLE_MS} of the reader's time. */
export const speed = signal(1);

/** The reader's time in which the whole drawing goes by at speed 1. */
export const WHOLE_MS = 12_000;

export const atEnd = computed(() => nowMs.value >= lengthMs.value);

export function play(): void {
  if (atEnd.value) nowMs.value = 0;
  playing.value = true;
}

export const pause = (): void => void (playing.value = false);

export function seek(ms: number): void {
  nowMs.value = Math.min(lengthMs.value, Math.max(0, ms));
}

/** Says how long the drawing is now; the moment that is shown keeps its share of it. */
export function setLength(ms: number): void {
  const share = nowMs.value / lengthMs.value;
  lengthMs.value = ms;
  seek(share * ms);
}

/** To the next moment, or to the one before. */
export function step(direction: 1 | -1): void {
  pause();
  const moments = momentsMs.value;
  const next = direction === 1 ? moments.find((ms) => ms > nowMs.value) : moments.findLast((ms) => ms < nowMs.value);
  seek(next ?? (direction === 1 ? lengthMs.value : 0));
}

/** Lets `ms` of the reader's time go by. */
export function advance(ms: number): void {
  seek(nowMs.value + (ms / WHOLE_MS) * lengthMs.value * speed.value);
  if (atEnd.value) pause();
}
