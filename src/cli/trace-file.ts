/** Timeline files: written for `--trace`, read by `asyncep timeline`. */
import { access, constants, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InputError } from '../errors.ts';
import { writeTrace } from '../trace/chrome-trace.ts';
import { readTrace, type Timeline } from '../trace/read-trace.ts';
import { formatBytes } from './format.ts';
import type { Session } from './session.ts';

/** @throws InputError when the file's folder cannot be written to; asked before the work */
export async function checkOutputFile(flag: string, path: string | undefined): Promise<void> {
  if (path === undefined) return;
  await access(dirname(path), constants.W_OK).catch(() => {
    throw new InputError(flag, path, 'cannot be written; expected a file in a folder that exists');
  });
}

/** @throws InputError when the timeline's folder cannot be written to; asked before the work */
export const checkTraceFile = (path: string | undefined): Promise<void> => checkOutputFile('--trace', path);

/** Writes what a session recorded, if a file was asked for. */
export async function saveTrace(session: Session, path: string | undefined): Promise<void> {
  if (path !== undefined) await writeFile(path, JSON.stringify(writeTrace(session.trace(), session.rankNames)));
}

/** Some millions of events; JavaScript's longest string is not much longer. */
const MAX_TRACE_BYTES = 400 * 2 ** 20;

/** @throws InputError when there is no such file, or it is not one that `--trace` wrote */
export async function loadTrace(path: string): Promise<Timeline> {
  const info = await stat(path).catch(() => undefined);
  if (info === undefined) throw new InputError(path, '', 'no such file');
  if (info.isDirectory()) throw new InputError(path, '', 'is a folder; expected a timeline that asyncep wrote with --trace');
  if (info.size > MAX_TRACE_BYTES) throw new InputError(path, '', `has ${formatBytes(info.size)}; expected at most ${formatBytes(MAX_TRACE_BYTES)}`);
  return readTrace(parseJson(await readFile(path, 'utf8'), path), path);
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError(path, '', `is not valid JSON (${error instanceof Error ? error.message : String(error)}); expected a timeline that asyncep wrote with --trace`);
  }
}
