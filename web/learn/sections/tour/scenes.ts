/** What steps set on the page. Only what a step speaks of is changed: the reader's own machine and sliders stay. */
import { lengthMs, pause, play, seek } from '../../player.ts';
import { change, FIRST_SETTINGS, settings, snap } from '../../settings.ts';
import { realRun, scenario } from '../../shown.ts';
import { together } from '../baselines/compared.ts';

/** Several devices without offload, simulated: what the steps from the third on speak of. */
export function severalRanks(): void {
  realRun.value = null;
  const { ranks, offload } = settings.value;
  if (ranks === 1 || offload > 0) change({ ranks: ranks === 1 ? FIRST_SETTINGS.ranks : ranks, offload: 0 });
}

/** A batch of so many times the tokens that hide a gather. */
export function batchOf(times: number): void {
  severalRanks();
  change({ tokens: snap('tokens', times * scenario.value.threshold.tokens) });
}
export const shortBatch = (): void => batchOf(1 / 4);
export const longBatch = (): void => batchOf(2);

/** Baselines as the paper has them: one batch under way, and one rank whose experts are popular. */
export const oneBatch = (): void => void (together.value = { inFlight: 1, busiest: 1.5 });

/** From the beginning; where the reader wants little motion the drawing stands, whole. */
export function playAll(): void {
  seek(0);
  if (!matchMedia('(prefers-reduced-motion: reduce)').matches) play();
}

/** Stands still at a share of the drawing, also of one that is yet to come: its moment keeps its share. */
export function stopAt(share: number): void {
  pause();
  seek(share * lengthMs.value);
}
