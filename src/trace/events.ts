/** What happened when, on which rank: the events that the timeline file and the schedule picture are made of. */

/**
 * Row of the timeline: the device's compute; bytes on their way to peers and from them (experts or activations); copies into a slot
 * (each named by layer); and a rank that stands still for any of them.
 */
export type Track = (typeof TRACKS)[number];

/** Order in which the tracks of a rank are shown. */
export const TRACKS = ['compute', 'send', 'receive', 'slot', 'wait'] as const;

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
