/** Memory for payloads on their way through this rank. Fresh megabytes cost a page fault each 4 KiB; used ones do not. */
import { MAX_PAYLOAD_BYTES } from './frame.ts';

/** Bytes that several parties look at; the last one to let go gives the memory back. */
export interface Chunk {
  readonly bytes: Buffer;
  /** One more party. */
  hold(): void;
  release(): void;
  /** Lets go of memory that something may still write to: it is not used again. */
  discard(): void;
}

/** Payloads up to here have memory of their own: a kept message of a few bytes must not pin a megabyte. */
const SMALL_BYTES = 64 << 10;
/** Unused memory that is kept. */
const MAX_IDLE = 32;

export class ChunkPool {
  readonly #idle: Buffer[] = [];
  #heldBytes = 0;
  /** The most that was held at a time since the start. */
  mostHeldBytes = 0;

  /** Bytes that have been taken and not given back. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Held by one party. Its contents are arbitrary. */
  take(bytes: number): Chunk {
    const whole = bytes <= SMALL_BYTES ? Buffer.allocUnsafeSlow(bytes) : (this.#idle.pop() ?? Buffer.allocUnsafeSlow(MAX_PAYLOAD_BYTES));
    this.#heldBytes += bytes;
    this.mostHeldBytes = Math.max(this.mostHeldBytes, this.#heldBytes);
    let parties = 1;
    return {
      bytes: whole.subarray(0, bytes),
      hold: () => void parties++,
      release: () => {
        if (--parties > 0) return;
        this.#heldBytes -= bytes;
        if (bytes > SMALL_BYTES && this.#idle.length < MAX_IDLE) this.#idle.push(whole);
      },
      discard: () => void (this.#heldBytes -= bytes),
    };
  }
}
