/** A stage of a pipeline: residual rows of the stage before in, those for the stage behind out, through host memory. */
import type { GpuDevice } from '../runtime/device.ts';
import { decodeRows, encodeRows, rowBytes, type WireDtype } from '../runtime/kernels/exchange.ts';
import { rowStride, type LayerContext } from './layer.ts';

/** What a stage does with its neighbours; the first has no `receive`, the last no `send`. */
export interface StageLinks {
  /** Element type of rows on the way. */
  readonly wire: WireDtype;
  readonly receive?: (pass: number, into: Uint8Array) => Promise<unknown>;
  readonly send?: (pass: number, bytes: Uint8Array) => Promise<unknown>;
  /** Counts the device's work that the caller waits for. */
  readonly computing: <T>(promise: Promise<T>) => Promise<T>;
}

/** Buffers of rows on their way; several passes are under way at once. */
export class StageMail {
  readonly #inboxes: GPUBuffer[] = [];
  readonly #outboxes: GPUBuffer[] = [];
  #wireRows: GPUBuffer | undefined;

  constructor(
    private readonly gpu: GpuDevice,
    readonly links: StageLinks,
  ) {}

  /** Has the rows of a pass brought into a mapped buffer; may be called long before they are needed. */
  async receive(pass: number, bytes: number): Promise<GPUBuffer> {
    const inbox = this.#take(this.#inboxes, 'inbox', bytes, GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC);
    await this.gpu.wait(inbox.mapAsync(GPUMapMode.WRITE));
    await this.links.receive?.(pass, new Uint8Array(inbox.getMappedRange(), 0, bytes));
    inbox.unmap();
    return inbox;
  }

  /** Records x = the received rows; `inbox` may be used again from now on (mapping waits for the copy). */
  recordReceived(ctx: LayerContext, inbox: GPUBuffer, rows: number): void {
    const { recorder, config, work, gpu } = ctx;
    const bytes = rows * rowBytes(config.hiddenSize, this.links.wire);
    const from = this.#rowsBuffer(bytes);
    recorder.copy(inbox, from, bytes);
    decodeRows(gpu, recorder, { rows, hidden: config.hiddenSize, stride: rowStride(config), wire: this.links.wire, from, out: work.x });
    recorder.submit();
    this.#inboxes.push(inbox);
  }

  /** Records the copy of x, submits, and returns what sends it. */
  recordSent(ctx: LayerContext, pass: number, rows: number): () => Promise<void> {
    const { recorder, config, work, gpu } = ctx;
    const bytes = rows * rowBytes(config.hiddenSize, this.links.wire);
    const to = this.#rowsBuffer(bytes);
    encodeRows(gpu, recorder, { rows, hidden: config.hiddenSize, stride: rowStride(config), wire: this.links.wire, from: work.x, out: to });
    const outbox = this.#take(this.#outboxes, 'outbox', bytes, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    recorder.copy(to, outbox, bytes);
    recorder.submit();
    return async () => {
      await this.links.computing(this.gpu.wait(outbox.mapAsync(GPUMapMode.READ, 0, bytes)));
      await this.links.send?.(pass, new Uint8Array(outbox.getMappedRange(0, bytes)));
      outbox.unmap();
      this.#outboxes.push(outbox);
    };
  }

  /** Bytes of rows on the device. */
  get deviceBytes(): number {
    return this.#wireRows?.size ?? 0;
  }

  #take(free: GPUBuffer[], label: string, bytes: number, usage: GPUBufferUsageFlags): GPUBuffer {
    const at = free.findIndex(({ size }) => size >= bytes);
    if (at >= 0) return free.splice(at, 1)[0] as GPUBuffer;
    const small = free.pop();
    if (small) this.gpu.destroyBuffer(small);
    return this.gpu.createBuffer(label, Math.ceil(bytes / 8) * 8, usage);
  }

  /** Rows as they travel, on the device; commands run in order, so one buffer serves all passes. */
  #rowsBuffer(bytes: number): GPUBuffer {
    if (this.#wireRows === undefined || this.#wireRows.size < bytes) {
      if (this.#wireRows) this.gpu.destroyBuffer(this.#wireRows);
      this.#wireRows = this.gpu.createBuffer('workspace/wire rows', bytes, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST);
    }
    return this.#wireRows;
  }
}
