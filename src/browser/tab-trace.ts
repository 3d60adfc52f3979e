/** Events of a tab's passes, kept until their pass is over, because gathers run ahead of it. */
import type { ComputeEvent } from '../cluster/backend.ts';
import type { DeviceClock } from '../cluster/device-clock.ts';
import type { StreamEvent } from '../strategy/index.ts';
import type { CopyTime } from '../strategy/copy-clock.ts';
import type { TraceEvent } from '../trace/events.ts';

export class TabTrace {
  listener: ((event: TraceEvent) => void) | undefined;
  readonly #passes = new Map<number, TraceEvent[]>();

  /** @param deviceTimes copies to slots are told with the device's times, not those of their submits */
  constructor(private readonly deviceTimes: boolean) {}

  streamed(event: StreamEvent): void {
    if (event.track !== 'slot' || !this.deviceTimes) this.#add(event);
  }

  computed(event: ComputeEvent): void {
    this.#add(event);
  }

  copied({ layer, pass, startNs, endNs }: CopyTime, clock: DeviceClock): void {
    const [startMs, endMs] = [Number(startNs) / 1e6, Number(endNs) / 1e6];
    this.#add({ track: 'slot', name: `copy layer ${layer}`, startMs: clock.toHost(startMs), durationMs: endMs - startMs, layer, pass });
  }

  /** What belongs to `pass`, in order of time; each pass once. */
  take(pass: number): TraceEvent[] {
    const events = this.#passes.get(pass) ?? [];
    for (const known of this.#passes.keys()) if (known <= pass) this.#passes.delete(known);
    return events.sort((a, b) => a.startUs - b.startUs);
  }

  #add({ name, track, startMs, durationMs, pass, layer }: StreamEvent | ComputeEvent): void {
    const args = { pass, ...(layer === undefined ? {} : { layer }), ...(track === 'slot' ? { kind: 'copy' } : {}) };
    const event: TraceEvent = { name, rank: 0, track, startUs: startMs * 1e3, durationUs: durationMs * 1e3, args };
    const events = this.#passes.get(pass);
    if (events === undefined) this.#passes.set(pass, [event]);
    else events.push(event);
    this.listener?.(event);
  }
}
