/**
 * The stream of slots: how the complete experts of a layer come to be on this device.
 * `resident`, `sync` and `asyncep` implement it; the engine knows nothing else of them.
 *
 *     stream.begin(pass)
 *     for each MoE layer: slot = await stream.ready(layer); encode(layer, slot); submit; stream.done(layer)
 *     stream.end()
 */

/** The complete experts of one layer on the device, in one or more banks. */
export interface Slot {
  readonly layer: number;
  /** Bank b holds experts [b * expertsPerBank, (b + 1) * expertsPerBank) at `expertBytes` intervals. */
  readonly banks: readonly GPUBuffer[];
  readonly expertsPerBank: number;
  /** Bytes from one expert to the next inside a bank (a multiple of 256). */
  readonly expertBytes: number;
}

export interface SlotStream {
  /** Announces a pass; the ring needs its number, the trace its name. */
  begin(pass: number): void;
  /**
   * The one wait of a layer: resolves when `layer`'s slot may be used by commands submitted from now on.
   * Submits the device copies of the next layer before it returns, so that they stand before `layer`'s dispatches in the queue.
   */
  ready(layer: number): Promise<Slot>;
  /** The layer's commands were submitted. */
  done(layer: number): void;
  /** The pass was submitted whole. */
  end(): void;
  close(): Promise<void>;
}
