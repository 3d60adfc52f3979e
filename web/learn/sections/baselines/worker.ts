/** Compares the strategies beside the page, so that a slider can be dragged meanwhile. */
import { comparisonOf, type Compare, type Together } from '../../comparison.ts';
import type { Settings } from '../../settings.ts';

export interface Question {
  readonly settings: Settings;
  readonly together: Together;
}

export type Answer = readonly Compare[];

addEventListener('message', ({ data: { settings, together } }: MessageEvent<Question>) => {
  // oxlint-disable-next-line require-post-message-target-origin -- a worker answers the page that made it, and has no origin to name
  postMessage(comparisonOf(settings, together) satisfies Answer);
});
