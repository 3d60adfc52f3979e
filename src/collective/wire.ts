/** A socket between two ranks of one machine, as a stream of frames. */
import type { Socket } from 'node:net';
import { encodeFrame, FrameError, FrameParser, KIND, type Kind } from './frames.ts';
import { LINK_CUT } from './pulse.ts';

/** How long a goodbye may take before the socket is torn down. */
const GOODBYE_MS = 1_000;

export class Wire {
  /** Called with each frame in turn; whoever takes the wire over replaces it. */
  onFrame: (kind: Kind, body: Buffer) => void = () => undefined;
  /** Called once, when the other side has gone without goodbye or does not keep to the protocol; half a sentence. */
  onLost: (problem: string) => void = () => undefined;
  onData: () => void = () => undefined;
  readonly #parser = new FrameParser();
  readonly #closed: Promise<void>;
  #over = false;

  constructor(private readonly socket: Socket) {
    socket.setNoDelay(true);
    this.#closed = new Promise((resolve) => void socket.once('close', () => resolve()));
    socket.on('data', (data: Buffer) => this.#data(data));
    socket.on('error', () => undefined); // 'close' follows
    socket.once('close', () => this.#lost(LINK_CUT));
  }

  #data(data: Buffer): void {
    this.onData();
    try {
      this.#parser.push(data, (kind, body) => this.onFrame(kind, body));
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#lost(error.message);
      this.socket.destroy();
    }
  }

  #lost(problem: string): void {
    if (this.#over) return;
    this.#over = true;
    this.onLost(problem);
  }

  /** Frames of one turn of the event loop leave together. */
  write(frame: Buffer): void {
    if (this.#over || !this.socket.writable) return;
    if (this.socket.writableCorked === 0) {
      this.socket.cork();
      process.nextTick(() => this.socket.uncork());
    }
    this.socket.write(frame);
  }

  /**
   * The next frame must be of `kind`; `handle` sees its body before the frame behind it is looked at.
   * A bye is refused with its text, silence after `deadlineMs`. @throws FrameError with half a sentence
   */
  expect<T>(kind: Kind, deadlineMs: number, handle: (body: Buffer) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (problem: string): void => {
        clearTimeout(timer);
        reject(new FrameError(problem));
      };
      if (this.#over) return reject(new FrameError(LINK_CUT));
      const timer = setTimeout(fail, deadlineMs, `did not answer within ${deadlineMs / 1e3} s`);
      this.onLost = fail;
      this.onFrame = (found, body) => {
        if (found === KIND.bye) return fail(body.toString('utf8'));
        if (found !== kind) return fail('sent bytes that are not of this protocol');
        clearTimeout(timer);
        try {
          resolve(handle(body));
        } catch (error) {
          reject(error as Error);
        }
      };
    });
  }

  /** Says goodbye after all that was written, and waits (a second at most) until the other side has closed, too. */
  async end(reason: string): Promise<void> {
    this.write(encodeFrame(KIND.bye, Buffer.from(reason.slice(0, 4096))));
    this.#over = true;
    process.nextTick(() => this.socket.end());
    const timer = setTimeout(() => this.socket.destroy(), GOODBYE_MS);
    await this.#closed;
    clearTimeout(timer);
  }

  /** Without goodbye. */
  destroy(): void {
    this.#over = true;
    this.socket.destroy();
  }
}
