/** What happened when, on which rank: the events that the timeline file and the schedule picture are made of. */

/** Row of the timeline: the device's compute, the experts on their way, or a rank that stands still for them. */
export type Track = 'compute' | 'gather' | 'wait';

/** Order in which the tracks of a rank are shown. */
export const TRACKS: readonly Track[] = ['compute', 'gather', 'wait'];

export interface TraceEvent {
  /** Shown in the bar, for instance `layer 3`. */
  readonly name: string;
  readonly rank: number;
  readonly track: Track;
  /** Microseconds on the clock that all ranks share. */
  readonly startUs: number;
  readonly durationUs: number;
  /** Shown when the bar is selected: `layer`, `pass`, `bytes`, ... The picture chooses by `layer` and `pass`. */
  readonly args?: Readonly<Record<string, string | number | boolean>>;
}

/** Microseconds at which the event is over. */
export const endUs = (event: TraceEvent): number => event.startUs + event.durationUs;
