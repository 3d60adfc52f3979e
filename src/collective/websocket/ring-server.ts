/** What a rank does for its successor in the ring: for each layer it wants, the own shard, then those of other origins as they come in. */
import type { Port } from '../link.ts';
import { CLOSE, LinkError } from './close.ts';
import type { Control } from './control.ts';
import type { FrameHeader } from './frame.ts';
import type { Gather } from './gather.ts';
import type { OutboundLink } from './outbound-link.ts';
import type { OwnChunks } from './own-chunks.ts';

/** Layers that may be wanted and not finished: one being used, one ahead. */
export const MAX_WANTED = 2;

export interface RingServerOptions {
  readonly rank: number;
  readonly layers: readonly number[];
  /** Bytes of this rank's shard of a layer, and of others' by rank. */
  readonly shardBytes: readonly number[];
  readonly own: OwnChunks;
  readonly port: Port | undefined;
  /** This rank's own gather of that number, once there is one; null when there will not be. */
  gatherAt(index: number): Promise<Gather | null>;
  /** Something was handed on. */
  progress(): void;
}

export class RingServer {
  /** By number of the gather, from the one that is being served on. */
  readonly #wanted: number[] = [];
  #awaitWant: (() => void) | null = null;
  /** Gathers wanted and gathers served since the start. */
  #wants = 0;
  #served = 0;
  #ended = false;

  constructor(private readonly link: OutboundLink, private readonly options: RingServerOptions) {
    link.onControl = (message) => this.#control(message);
    void link.ended.then(() => {
      this.#ended = true;
      this.#awaitWant?.();
    });
  }

  /** The layer that the successor reads as its gather number `index`, if it has said so and has not been served. */
  layerAt(index: number): number | undefined {
    return this.#wanted[index - this.#served];
  }

  /** A successor never wants what it has no room for. @throws LinkError */
  #control(message: Control): void {
    if (message.type !== 'want') throw new LinkError(CLOSE.badControl, `control message: ${message.type} was not expected`);
    const { gather, layer } = message;
    if (gather !== this.#wants) throw new LinkError(CLOSE.badControl, `want: gather ${gather}; expected ${this.#wants}`);
    if (!this.options.layers.includes(layer)) throw new LinkError(CLOSE.badControl, `want: layer ${layer} has no experts`);
    if (this.#wants - this.#served >= MAX_WANTED) throw new LinkError(CLOSE.badControl, `want: ${MAX_WANTED + 1} layers at a time; expected at most ${MAX_WANTED}`);
    this.#wants++;
    this.#wanted.push(layer);
    this.#awaitWant?.();
    this.options.progress();
  }

  /** Serves until the link ends. @throws what reading the own shard throws */
  async run(): Promise<void> {
    while (!this.#ended) {
      const layer = this.#wanted[0];
      if (layer === undefined) await new Promise<void>((resolve) => (this.#awaitWant = resolve));
      else {
        await this.#serve(this.#served, layer);
        this.#served++;
        this.#wanted.shift();
      }
    }
  }

  async #serve(index: number, layer: number): Promise<void> {
    const { own, rank, gatherAt, progress } = this.options;
    let departs: number | undefined;
    await own.forEach(layer, async ({ offsetBytes, bytes, crc }) => {
      departs = await this.#depart(bytes.length, departs);
      return { done: this.#send(index, layer, rank, offsetBytes, crc, bytes) };
    });
    const following = this.#wanted[1];
    if (following !== undefined) own.prefetch(following);
    if (this.options.shardBytes.length === 2) return; // nothing is handed on: the successor may be layers ahead of this rank
    const gather = await gatherAt(index);
    for (let next = await gather?.takeForward(); next; next = await gather?.takeForward()) {
      const { origin, offsetBytes, crc, chunk, hereMs } = next;
      await this.#depart(chunk.bytes.length, hereMs);
      void this.#send(index, layer, origin, offsetBytes, crc, chunk.bytes).then(() => {
        gather?.forwarded(chunk.bytes.length);
        chunk.release();
        progress();
      });
    }
  }

  /** Waits for the port and the socket. @param readyMs when the bytes were there */
  async #depart(bytes: number, readyMs?: number): Promise<number | undefined> {
    const departs = this.options.port?.depart(bytes, readyMs);
    if (departs !== undefined) await this.options.port?.nearly(departs);
    await this.link.room();
    return departs;
  }

  #send(pass: number, layer: number, origin: number, offsetBytes: number, crc: number, bytes: Uint8Array): Promise<boolean> {
    const totalBytes = this.options.shardBytes[origin] as number;
    const header: FrameHeader = { kind: 'weights', origin, pass, layer, lengthBytes: bytes.length, offsetBytes, totalBytes, crc };
    return this.link.send(header, bytes);
  }
}
