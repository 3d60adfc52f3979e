/** What a link between ranks can carry. */

/** A full-duplex port: every rank has one, and all its bytes go through it, whatever the strategy. */
export interface Link {
  /** In each direction. */
  readonly bytesPerSecond: number;
  /** Added to every message (and to every read of a shard). */
  readonly latencyMs: number;
}
