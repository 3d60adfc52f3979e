/**
 * Rows between this device and host memory: out of a device buffer into a mapped one that the transport reads, and the other way round.
 * One of each for each pass under way; a pass has one exchange at a time.
 */
import type { GpuDevice } from '../../runtime/device.ts';
import type { Recorder } from '../../runtime/recorder.ts';
import type { Activity } from './activity.ts';
import type { ExchangeStep, RowExchange } from './exchange.ts';

/** Part of what is sent, bytes from the first row's. */
export interface Part {
  readonly offset: number;
  readonly bytes: number;
}

/** What goes out. */
export interface Outgoing {
  /** Rows, copied to the host one behind the other. */
  readonly rows: readonly { readonly buffer: GPUBuffer; readonly offset: number; readonly bytes: number }[];
  /** Counts that the host must know first (u32). */
  readonly header?: { readonly buffer: GPUBuffer; readonly words: number };
  /** What each rank gets; asked when the header is there. */
  parts(header: Uint32Array): readonly (Part | null)[];
}

/** What came in. */
export interface Incoming {
  readonly header: Uint32Array;
  /** Bytes from each rank. */
  readonly lengths: readonly number[];
  /** Records the copy of what `rank` sent. */
  copy(rank: number, to: GPUBuffer, offset: number): void;
}

const HEADER_ALIGN = 256;
/** What a mapped buffer may take beside rows: counts in front, and rounding for each rank. */
export const mailOverhead = (world: number, numExperts: number): number => pad(4 * Math.max(world + 1, numExperts), HEADER_ALIGN) + 8 * (world + 1);

const pad = (bytes: number, to: number): number => Math.ceil(bytes / to) * to;

export class RowMail {
  #outbox: GPUBuffer | null = null;
  #inbox: GPUBuffer | null = null;
  #inboxMapped = false;

  constructor(
    private readonly gpu: GpuDevice,
    private readonly recorder: Recorder,
    private readonly exchange: RowExchange,
    private readonly activity: Activity,
  ) {}

  /**
   * Submits what was recorded, sends, receives. What is recorded after it may use what came in; nothing of another pass may be recorded
   * between the return and the next submit.
   * @param most bytes that each rank may send
   */
  async swap(step: ExchangeStep, outgoing: Outgoing, most: readonly number[]): Promise<Incoming> {
    const headerBytes = pad((outgoing.header?.words ?? 0) * 4, HEADER_ALIGN);
    const rowBytes = outgoing.rows.reduce((sum, { bytes }) => sum + bytes, 0);
    const outbox = this.#outboxOf(headerBytes + rowBytes);
    this.#recordOut(outgoing, outbox, headerBytes);
    this.recorder.submit();
    const offsets = most.map((_, rank) => most.slice(0, rank).reduce((sum, bytes) => sum + pad(bytes, 8), 0));
    const inboxBytes = most.reduce((sum, bytes) => sum + pad(bytes, 8), 0);
    const [inbox] = await this.activity.compute(this.gpu.wait(Promise.all([this.#mapInbox(inboxBytes), outbox.mapAsync(GPUMapMode.READ, 0, Math.max(8, headerBytes + rowBytes))])));
    const out = outbox.getMappedRange(0, Math.max(8, headerBytes + rowBytes));
    const header = new Uint32Array(out, 0, outgoing.header?.words ?? 0).slice();
    const parts = outgoing.parts(header).map((part) => part && new Uint8Array(out, headerBytes + part.offset, part.bytes));
    const into = inbox.getMappedRange();
    const receive = most.map((bytes, rank) => (bytes === 0 ? null : new Uint8Array(into, offsets[rank], bytes)));
    const lengths = await this.activity.transfer(this.exchange.exchange(step, parts, receive), step);
    outbox.unmap();
    inbox.unmap();
    this.#inboxMapped = false;
    return {
      header, lengths,
      copy: (rank, to, offset) => {
        const bytes = lengths[rank] ?? 0;
        if (bytes > 0) this.recorder.copy(inbox, to, bytes, offsets[rank], offset);
      },
    };
  }

  #recordOut({ rows, header }: Outgoing, outbox: GPUBuffer, headerBytes: number): void {
    if (header) this.recorder.copy(header.buffer, outbox, header.words * 4);
    let at = headerBytes;
    for (const { buffer, offset, bytes } of rows) {
      if (bytes > 0) this.recorder.copy(buffer, outbox, bytes, offset, at);
      at += bytes;
    }
  }

  /** At least so large; one that is too small may still be in use by the device, which keeps it until then. */
  #outboxOf(bytes: number): GPUBuffer {
    if (this.#outbox === null || this.#outbox.size < bytes) {
      if (this.#outbox) this.gpu.destroyBuffer(this.#outbox);
      this.#outbox = this.gpu.createBuffer('outbox', Math.max(8, pad(bytes, 8)), GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    }
    return this.#outbox;
  }

  async #mapInbox(bytes: number): Promise<GPUBuffer> {
    if (this.#inbox === null || this.#inbox.size < bytes) {
      if (this.#inbox) this.gpu.destroyBuffer(this.#inbox);
      this.#inbox = this.gpu.createBuffer('inbox', Math.max(8, bytes), GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC);
      this.#inboxMapped = false;
    }
    const inbox = this.#inbox;
    if (!this.#inboxMapped) await inbox.mapAsync(GPUMapMode.WRITE);
    this.#inboxMapped = true;
    return inbox;
  }

}
