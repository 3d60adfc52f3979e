/** The comparison of the settings, as soon as the worker has it. */
import { computed, effect, signal } from '@preact/signals';
import type { Together } from '../../comparison.ts';
import { settings } from '../../settings.ts';
import type { Answer, Question } from './worker.ts';

export const together = signal<Together>({ inFlight: 2, busiest: 1 });
/** The last comparison that came, and what it is of; null until the first. */
export const answer = signal<{ readonly question: Question; readonly compared: Answer } | null>(null);

/** Asks the worker for every change, for the latest only while it is busy. @returns what ends it */
export function keepComparing(): () => void {
  const worker = new Worker(new URL('worker.ts', import.meta.url), { type: 'module' });
  let asked: Question | null = null;
  let next: Question | null = null;
  const ask = (question: Question): void => {
    asked = question;
    // oxlint-disable-next-line require-post-message-target-origin -- a worker is not a window
    worker.postMessage(question);
  };
  worker.addEventListener('message', ({ data: compared }: MessageEvent<Answer>) => {
    if (asked !== null) answer.value = { question: asked, compared };
    const question = next;
    [asked, next] = [null, null];
    if (question !== null) ask(question);
  });
  const stop = effect(() => {
    const question = { settings: settings.value, together: together.value };
    if (asked === null) ask(question);
    else next = question;
  });
  return () => {
    stop();
    worker.terminate();
  };
}

/** Whether the answer is that of what is set now. */
export const isCurrent = computed((): boolean => answer.value?.question.settings === settings.value && answer.value.question.together === together.value);
