/** What the two kinds of engines of a pool share. */
import { AsyncepError, RankError } from '../errors.ts';
import type { EngineInfo, PassAnswer, PassWork } from './engine-pool.ts';
import type { ClusterOptions } from './options.ts';
import type { WorkLimits } from './pass-messages.ts';
import type { Restarts } from './restarts.ts';

export interface Engines {
  /** As they are now. */
  readonly infos: EngineInfo[];
  readonly limits: WorkLimits;
  /** @throws RankError when the engine is not there, or no more; InputError for a batch that it cannot run */
  pass(engine: number, work: PassWork): Promise<PassAnswer>;
  /** Ends all ranks; no process and no segment is left. */
  close(): Promise<void>;
}

/** What engines need of their pool. */
export interface EngineContext {
  readonly options: ClusterOptions;
  /** A new count of failures. */
  restarts(): Restarts;
  tell(info: EngineInfo, error?: RankError): void;
}

/** Passes of one engine that are under way: the second is recorded while the first computes. */
export const PASSES_OF_ENGINE = 2;

export const asRankError = (rank: number, error: Error): RankError => (error instanceof RankError ? error : new RankError(rank, error.message));

/** Why an engine that is one rank was lost; it may be another's fault. */
export function lossOf(rank: number, error: Error): RankError {
  return error instanceof RankError && error.rank !== rank ? new RankError(rank, `cannot go on: ${error.message}`) : asRankError(rank, error);
}

/** The last failure of those that are too many. */
export function giveUp(error: RankError, inARow: number): RankError {
  const problem = error.message.replace(/^rank \d+: /, '');
  return new RankError(error.rank, `${problem} (not started again: ${inARow} failure${inARow === 1 ? '' : 's'} in a row)`);
}

export const closed = (): AsyncepError => new AsyncepError('the engines have been closed');
