/** The device's intervals as events on the host's clock. */
import type { DeviceInterval } from '../runtime/timestamps.ts';
import type { ComputeEvent } from './backend.ts';
import type { DeviceClock } from './device-clock.ts';

const LABEL = /^(?:pass (\d+) )?(layer (\d+)|.*)$/;

/**
 * @param passOf number of the pass for labels that do not say it; called once for each interval, in order
 */
export function computeEvents(intervals: readonly DeviceInterval[], clock: DeviceClock, passOf: (label: string) => number): ComputeEvent[] {
  if (intervals.length === 0) return [];
  clock.sighted(intervals.reduce((latest, { endMs }) => Math.max(latest, endMs), -Infinity), performance.now());
  return intervals.map(({ label, startMs, endMs }) => {
    const [, pass, name = label, layer] = LABEL.exec(label) ?? [];
    return {
      track: 'compute' as const, name, startMs: clock.toHost(startMs), durationMs: endMs - startMs,
      pass: pass === undefined ? passOf(label) : Number(pass), ...(layer === undefined ? {} : { layer: Number(layer) }),
    };
  });
}
