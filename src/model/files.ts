/** Access to the files of a model folder, so that this directory needs no file system: Node, a browser's picker, memory. */
import { InputError } from '../errors.ts';

/** The files of one model folder. Paths are relative to it. `src/node/files.ts` has the one for Node. */
export interface ModelFiles {
  /** What messages call the folder: its path, or a URL. */
  readonly name: string;
  exists(path: string): Promise<boolean>;
  /** Size in bytes. */
  size(path: string): Promise<number>;
  text(path: string): Promise<string>;
  /** Exactly `length` bytes from `offset`, in memory of their own; fails when the file ends before. */
  read(path: string, offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** How a message names a file of the folder. */
export const sourceOf = (files: ModelFiles, path: string): string => `${files.name}/${path}`;

/** Text of a file; an InputError says that it is missing and what it is `needed` for. */
export async function requiredText(files: ModelFiles, path: string, needed: string): Promise<string> {
  if (!(await files.exists(path))) throw new InputError(sourceOf(files, path), '', `no such file; ${needed}`);
  return files.text(path);
}

/** Parses JSON that came from `source`; an InputError carries the parser's position. */
export function parseJson(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError(source, '', `is not valid JSON: ${(error as Error).message}`);
  }
}

/** A value as messages show it: JSON, cut to a readable length. */
export function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : (JSON.stringify(value) ?? typeof value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** A model folder held in memory: for tests and for files that a browser has already loaded. */
export function memoryFiles(name: string, contents: Readonly<Record<string, string | Uint8Array>>): ModelFiles {
  const bytes = (path: string): Uint8Array => {
    const content = contents[path];
    if (content === undefined) throw new InputError(`${name}/${path}`, '', 'no such file');
    return typeof content === 'string' ? new TextEncoder().encode(content) : content;
  };
  return {
    name,
    exists: async (path) => contents[path] !== undefined,
    size: async (path) => bytes(path).length,
    text: async (path) => new TextDecoder().decode(bytes(path)),
    read: async (path, offset, length) => {
      const slice = bytes(path).slice(offset, offset + length);
      if (slice.length === length) return slice;
      throw new InputError(`${name}/${path}`, '', `ends before byte ${offset + length}`);
    },
    close: async () => {},
  };
}
