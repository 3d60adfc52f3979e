/** The end of a timeline: the last passes, as long as the engines did not stand still in between. */
import { endUs, type TraceEvent } from '../../trace/events.ts';

/** A pause of all engines that is worth cutting at: behind it, passes would be too narrow to see. */
const PAUSE_US = 250_000;
/** Passes of a rank that are shown. */
const PASSES = 6;

/** When the engines last began to work after a pause. */
function afterLastPause(events: readonly TraceEvent[]): number {
  let [fromUs, busyUntilUs] = [-Infinity, -Infinity];
  for (const event of events.toSorted((a, b) => a.startUs - b.startUs)) {
    if (event.startUs - busyUntilUs > PAUSE_US) fromUs = event.startUs;
    busyUntilUs = Math.max(busyUntilUs, endUs(event));
  }
  return fromUs;
}

/** When each rank's last passes began; the latest of these, so that a rank that rests does not make the stretch long. */
function lastPasses(events: readonly TraceEvent[]): number {
  const starts = new Map<number, Map<unknown, number>>();
  for (const { rank, startUs, args } of events) {
    const passes = starts.get(rank) ?? new Map<unknown, number>();
    passes.set(args?.['pass'], Math.min(passes.get(args?.['pass']) ?? Infinity, startUs));
    starts.set(rank, passes);
  }
  return Math.max(-Infinity, ...[...starts.values()].map((passes) => [...passes.values()].toSorted((a, b) => b - a)[PASSES - 1] ?? -Infinity));
}

/** Events of the last passes, in no order; what was under way when they began is among them. */
export function lastStretch(events: readonly TraceEvent[]): readonly TraceEvent[] {
  const fromUs = Math.max(afterLastPause(events), lastPasses(events));
  return events.filter((event) => endUs(event) > fromUs);
}
