/** Lines of a stream of bytes, one at a time: a file may be larger than memory. */

/** A longer line is a mistake, and would be held in memory. */
export const MAX_LINE_BYTES = 256 * 2 ** 20;

export interface TextLine {
  /** From 1. */
  readonly line: number;
  /** Without its end; null when it is no text, `problem` says why. */
  readonly text: string | null;
  readonly problem: string;
  /** Bytes of the stream up to the line's end, and of the line itself. */
  readonly endByte: number;
  readonly bytes: number;
  /** Whether a line feed ends it; only the last line may have none. */
  readonly terminated: boolean;
}

const LINE_FEED = 10;

/** The pieces of the line that is being read. */
class OpenLine {
  #pieces: Uint8Array[] = [];
  bytes = 0;

  constructor(readonly maxBytes: number) {}

  add(piece: Uint8Array): void {
    this.bytes += piece.length;
    if (this.bytes <= this.maxBytes) this.#pieces.push(piece);
    else this.#pieces = []; // only its length is still of interest
  }

  read(): Pick<TextLine, 'text' | 'problem'> {
    if (this.bytes > this.maxBytes) return { text: null, problem: `is longer than ${this.maxBytes} bytes` };
    try {
      return { text: new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(this.#pieces)), problem: '' };
    } catch {
      return { text: null, problem: 'is not UTF-8 text' };
    }
  }
}

/**
 * Cuts a stream at its line feeds. Reads no further than asked.
 * @param maxBytes a longer line is told of and skipped
 */
export async function* textLines(source: AsyncIterable<Uint8Array>, maxBytes: number = MAX_LINE_BYTES): AsyncGenerator<TextLine> {
  let open = new OpenLine(maxBytes);
  let [line, endByte] = [0, 0];
  const close = (terminated: boolean): TextLine => {
    const { bytes } = open;
    const read = open.read();
    endByte += bytes + (terminated ? 1 : 0);
    open = new OpenLine(maxBytes);
    return { line: ++line, ...read, endByte, bytes, terminated };
  };
  for await (const chunk of source) {
    let from = 0;
    for (let at = chunk.indexOf(LINE_FEED); at !== -1; at = chunk.indexOf(LINE_FEED, from)) {
      open.add(chunk.subarray(from, at));
      from = at + 1;
      yield close(true);
    }
    if (from < chunk.length) open.add(chunk.subarray(from));
  }
  if (open.bytes > 0) yield close(false);
}
