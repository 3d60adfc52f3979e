/** The device's intervals as events on the host's clock. */
import type { DeviceInterval } from '../runtime/timestamps.ts';
import type { ComputeEvent } from './backend.ts';
import type { DeviceClock } from './device-clock.ts';

const LABEL = /^(?:pass (\d+) )?(layer (\d+)|.*)$/;

/**
 * @param passOf number of the pass for labels that do not say it; called once for each interval, in order
 * @param firstLayer the model's layer that the engine calls 0
 */
export function computeEvents(intervals: readonly DeviceInterval[], clock: DeviceClock, passOf: (label: string) => number, firstLayer = 0): ComputeEvent[] {
  if (intervals.length === 0) return [];
  clock.sighted(intervals.reduce((latest, { endMs }) => Math.max(latest, endMs), -Infinity), performance.now());
  return intervals.map(({ label, startMs, endMs }) => {
    const [, pass, name = label, local] = LABEL.exec(label) ?? [];
    const layer = local === undefined ? undefined : Number(local) + firstLayer;
    return {
      track: 'compute' as const, name: layer === undefined ? name : `layer ${layer}`, startMs: clock.toHost(startMs), durationMs: endMs - startMs,
      pass: pass === undefined ? passOf(label) : Number(pass), ...(layer === undefined ? {} : { layer }),
    };
  });
}
