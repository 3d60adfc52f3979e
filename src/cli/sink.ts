/** Where JSON lines go: a file, stdout, both, or nowhere. */
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { InputError } from '../errors.ts';
import type { OutputOptions } from './options.ts';

export interface JsonLines {
  /** Whether anybody reads the lines; if not, a table is due. */
  readonly wanted: boolean;
  write(line: object): Promise<void>;
  close(): Promise<void>;
}

async function openFile(path: string): Promise<WriteStream> {
  const stream = createWriteStream(path);
  try {
    await once(stream, 'open');
    return stream;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new InputError('--output', path, `cannot be written (${code}); expected a file in a folder that exists`);
  }
}

async function send(stream: NodeJS.WritableStream, text: string): Promise<void> {
  if (!stream.write(text)) await once(stream, 'drain');
}

/**
 * Opens the outputs that the flags ask for.
 * @throws InputError when the file cannot be written, before any work is done
 */
export async function openJsonLines({ json, output }: OutputOptions): Promise<JsonLines> {
  const file = output === undefined ? undefined : await openFile(output);
  return {
    wanted: json === true || file !== undefined,
    async write(line) {
      const text = `${JSON.stringify(line)}\n`;
      if (file !== undefined) await send(file, text);
      if (json) await send(process.stdout, text);
    },
    async close() {
      file?.end();
      if (file !== undefined) await finished(file);
    },
  };
}
