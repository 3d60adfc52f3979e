/** Errors on their way from a rank to whoever started it. */
import { AdapterError, type AsyncepError, InputError, RankError } from '../errors.ts';
import { causeOf } from '../collective/in-process-messenger.ts';
import type { RankFailure } from './messages.ts';

export function describeFailure(error: unknown): RankFailure {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  const input = error instanceof InputError ? { source: error.source, field: error.field, problem: error.problem } : null;
  return { name, message, stack: stack ?? '', input, rank: error instanceof RankError ? error.rank : null };
}

/** Bad input and missing adapters stay what they are, so that the command ends with their exit code; all else is the rank's failure. */
export function reviveFailure(rank: number, failure: RankFailure): AsyncepError {
  const error = revive(rank, failure);
  error.stack = `${error.name}: ${error.message}\n    in rank ${rank}: ${failure.stack}`;
  return error;
}

function revive(rank: number, { name, message, input, rank: atFault }: RankFailure): AsyncepError {
  if (input !== null) return new InputError(input.source, input.field, input.problem);
  if (name === 'AdapterError') return new AdapterError(message);
  if (atFault !== null && atFault !== rank) return accusation(rank, new RankError(atFault, message.replace(/^rank \d+: /, '')));
  const prefix = `rank ${rank}: `;
  return new RankError(rank, message.startsWith(prefix) ? message.slice(prefix.length) : message);
}

/** A peer that gave up because of a third rank is that one's witness. */
function accusation(reporter: number, error: RankError): RankError {
  const cause = causeOf(error);
  const [atFault, witness] = cause === null || cause.rank === reporter ? [error, reporter] : [cause, error.rank];
  return new RankError(atFault.rank, `${atFault.message.replace(/^rank \d+: /, '')} (seen by rank ${witness})`);
}
