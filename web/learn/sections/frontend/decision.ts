/** The decision that a moment of a run shows. Pure. */
import { gathers } from '../../../../src/serving/scheduling.ts';
import type { FrontendRun, Routed } from './moments.ts';
import { passedOver } from './sentences.ts';

export interface Decision {
  /** Number of its moment. */
  readonly moment: number;
  readonly request: number;
  readonly engine: number;
  /** Leading blocks that are known there; 0 where nobody has looked. */
  readonly matched: number;
  /** Engines that know more of it, and were saturated. */
  readonly wanted: readonly number[];
}

const ofRouted = (moment: number, routed: Routed): Decision =>
  ({ moment, request: routed.request, engine: routed.engine, matched: routed.matched, wanted: passedOver(routed) });

/** Moment `index` as a decision that takes a request from the queue to an engine; null for another one. */
export function decisionOf({ moments, settings }: FrontendRun, index: number): Decision | null {
  const moment = moments[index];
  if (moment?.kind === 'queued') return { moment: index, request: moment.request, engine: moment.engine, matched: 0, wanted: [] };
  return moment?.kind === 'routed' && gathers(settings.scheduler) ? ofRouted(index, moment) : null;
}

/** The last decision of the first `count` moments; null when a request has come since, or none was made. */
export function decisionAt(run: FrontendRun, count: number): Decision | null {
  for (let index = count - 1; index >= 0; index--) {
    const decision = decisionOf(run, index);
    if (decision !== null) return decision;
    if (run.moments[index]?.kind === 'arrived') return null;
  }
  return null;
}
