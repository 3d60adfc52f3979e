/** The end of a timeline: what happened since the engines stood still for the last time. */
import { endUs, type TraceEvent } from '../../trace/events.ts';

/** A pause of all engines that is worth cutting at: behind it, passes would be too narrow to see. */
const PAUSE_US = 250_000;

/** Events after the last pause, in no order. */
export function lastStretch(events: readonly TraceEvent[], pauseUs: number = PAUSE_US): readonly TraceEvent[] {
  let [fromUs, busyUntilUs] = [-Infinity, -Infinity];
  for (const event of events.toSorted((a, b) => a.startUs - b.startUs)) {
    if (event.startUs - busyUntilUs > pauseUs) fromUs = event.startUs;
    busyUntilUs = Math.max(busyUntilUs, endUs(event));
  }
  return events.filter(({ startUs }) => startUs >= fromUs);
}
