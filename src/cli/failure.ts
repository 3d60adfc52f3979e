/** How a command ends that could not do its work: a message on stderr, and the exit code. */
import { CommanderError } from 'commander';
import { AsyncepError } from '../errors.ts';

/** Exit code of wrong flags or arguments; the same as for bad input. */
const USAGE = 2;

/** The stacks of an error and of what caused it. */
function stacks(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by: ${stacks(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}

function messageOf(error: unknown): string {
  if (error instanceof AsyncepError) return `asyncep: ${error.message}`;
  const text = error instanceof Error ? error.message : String(error);
  return `asyncep: unexpected error: ${text} (--verbose shows where)`;
}

/**
 * Tells the user what went wrong.
 * @param verbose also prints the stack
 * @returns the exit code: that of the AsyncepError, 2 for wrong usage, 1 for what nobody foresaw
 */
export function reportFailure(error: unknown, verbose: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE; // commander has printed it already
  process.stderr.write(`${messageOf(error)}\n`);
  if (verbose) process.stderr.write(`${stacks(error)}\n`);
  return error instanceof AsyncepError ? error.exitCode : 1;
}
