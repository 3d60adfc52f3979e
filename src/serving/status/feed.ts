/** The status as server-sent events: made once for all who watch, and only while somebody does. */
import { Readable } from 'node:stream';
import type { Status } from './schema.ts';

export interface StatusSource {
  status(): Status;
  /** What the page draws as the timeline. */
  timeline(): unknown;
}

const EVERY_MS = 1000;
/** Changes that come at once are told once. */
const TOGETHER_MS = 50;

const eventText = (name: string, data: unknown): string => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

/** One who watches. Whoever reads too slowly misses states, never gets them late. */
class Watcher {
  readonly stream: Readable;
  #wants = true;
  #timelineVersion = -1;

  constructor(left: (watcher: Watcher) => void) {
    this.stream = new Readable({
      read: () => void (this.#wants = true),
      destroy: (error, done) => {
        left(this);
        done(error);
      },
    });
  }

  /** @param timeline text of the event, made when it is first asked for */
  tell(status: string, version: number, timeline: () => string): void {
    if (!this.#wants) return;
    this.#wants = this.stream.push(status);
    if (version === this.#timelineVersion) return;
    this.#timelineVersion = version;
    this.#wants = this.stream.push(timeline());
  }
}

export class StatusFeed {
  readonly #watchers = new Set<Watcher>();
  #ticking: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;

  constructor(private readonly source: StatusSource) {}

  /** A stream of events, `status` once a second and `timeline` when there is a new one; it never ends by itself. */
  watch(): Readable {
    const watcher = new Watcher((gone) => {
      this.#watchers.delete(gone);
      if (this.#watchers.size === 0) this.#rest();
    });
    this.#watchers.add(watcher);
    this.#ticking ??= setInterval(() => this.#tell(this.#watchers), EVERY_MS);
    this.#tell([watcher]);
    return watcher.stream;
  }

  /** Something happened that is worth telling before the next second. */
  changed(): void {
    if (this.#watchers.size === 0) return;
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#tell(this.#watchers);
    }, TOGETHER_MS);
  }

  /** Ends all streams. */
  close(): void {
    for (const { stream } of this.#watchers) stream.push(null);
    this.#watchers.clear();
    this.#rest();
  }

  #tell(watchers: Iterable<Watcher>): void {
    const status = this.source.status();
    const text = eventText('status', status);
    let timeline: string | undefined;
    for (const watcher of watchers) watcher.tell(text, status.timeline_version, () => (timeline ??= eventText('timeline', this.source.timeline())));
  }

  #rest(): void {
    clearInterval(this.#ticking);
    clearTimeout(this.#soon);
    this.#ticking = this.#soon = undefined;
  }
}
