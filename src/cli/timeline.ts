/** `--trace`: the timeline file. */
import { access, constants, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InputError } from '../errors.ts';
import { writeTrace } from '../trace/chrome-trace.ts';
import type { Session } from './session.ts';

/** @throws InputError when the timeline's folder cannot be written to; asked before the work */
export async function checkTraceFile(path: string | undefined): Promise<void> {
  if (path === undefined) return;
  await access(dirname(path), constants.W_OK).catch(() => {
    throw new InputError('--trace', path, 'cannot be written; expected a file in a folder that exists');
  });
}

/** Writes what a session recorded, if a file was asked for. */
export async function saveTrace(session: Session, path: string | undefined): Promise<void> {
  if (path !== undefined) await writeFile(path, JSON.stringify(writeTrace(session.trace(), session.rankNames)));
}
