/** A model folder on disk. */
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../errors.ts';
import type { ModelFiles } from '../model/files.ts';

/** The largest single read that every platform takes. */
const MAX_READ_BYTES = 1 << 30;

/** Opens a model folder. Files are opened when first read and stay open until `close`. */
export async function openFolder(path: string): Promise<ModelFiles> {
  const info = await stat(path).catch(() => null);
  if (info === null) throw new InputError(path, '', 'no such folder; expected a Hugging Face model folder');
  if (!info.isDirectory()) throw new InputError(path, '', 'is not a folder; expected a Hugging Face model folder');
  const handles = new Map<string, Promise<FileHandle>>();
  const handle = (file: string): Promise<FileHandle> => {
    const known = handles.get(file) ?? open(join(path, file), 'r');
    handles.set(file, known);
    return known;
  };
  return {
    name: path.length > 1 ? path.replace(/[/\\]+$/, '') : path,
    exists: async (file) => (await stat(join(path, file)).catch(() => null))?.isFile() ?? false,
    size: async (file) => (await stat(join(path, file))).size,
    text: (file) => readable(join(path, file), readFile(join(path, file), 'utf8')),
    read: async (file, offset, length) =>
      readExactly(await readable(join(path, file), handle(file)), join(path, file), offset, length),
    close: async () => {
      const open = [...handles.values()];
      handles.clear();
      await Promise.all(open.map((pending) => pending.then((file) => file.close(), () => {})));
    },
  };
}

/** Turns the system's refusal to open a file (permissions, a folder in its place) into an error that names it. */
const readable = <T>(path: string, opened: Promise<T>): Promise<T> =>
  opened.catch((error: Error) => { throw new InputError(path, '', `cannot be read: ${error.message}`); });

async function readExactly(file: FileHandle, path: string, offset: number, length: number): Promise<Uint8Array> {
  // Not from Buffer's pool: tensors are viewed as wider types, so they must start at an aligned address.
  const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, Math.min(length - done, MAX_READ_BYTES), offset + done);
    if (bytesRead === 0) throw new InputError(path, '', `ends at byte ${offset + done}; expected ${offset + length} bytes at least`);
    done += bytesRead;
  }
  return bytes;
}
