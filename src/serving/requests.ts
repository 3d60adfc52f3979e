/** What a server is asked, and what it answers: one sequence, one answer. */
import type { TokenScores } from '../engine/index.ts';
import { AsyncepError } from '../errors.ts';

export interface ServingRequest {
  readonly tokens: Uint32Array;
  /** Tokens whose logits at the last position are asked for; may be empty when positions are scored. */
  readonly candidates: readonly number[];
  /** So many of the last positions are scored over the whole vocabulary; none by default. */
  readonly scored?: number;
  /** Most likely tokens told at each scored position; at most 20. */
  readonly top?: number;
  /** Withdraws the request: it is not run unless its batch has left already, and nobody is told the answer. */
  readonly signal?: AbortSignal;
}

export interface ServingAnswer {
  /** Of the candidates, in their order. */
  readonly logits: Float32Array;
  /** Of the scored positions; null when none were asked for. */
  readonly scores: TokenScores | null;
  /** Tokens whose keys and values were there already. */
  readonly cachedTokens: number;
  readonly engine: number;
  /** From acceptance to the start of its pass, and from there to the answer. */
  readonly queuedMs: number;
  readonly computeMs: number;
}

/** The queue is full: come back later. */
export class OverloadedError extends AsyncepError {
  override name = 'OverloadedError';
  constructor(readonly waiting: number, readonly retryAfterSeconds: number) {
    super(`${waiting} requests are waiting, no more are taken; try again in ${retryAfterSeconds} s`);
  }
}

/** The server is on its way down and takes nothing new. */
export class DrainingError extends AsyncepError {
  override name = 'DrainingError';
  constructor() {
    super('the server is shutting down and takes no more requests');
  }
}

/** The request was withdrawn. */
export class CancelledError extends AsyncepError {
  override name = 'CancelledError';
  constructor() {
    super('the request was withdrawn');
  }
}

/** Every engine was lost for good: nothing can be answered any more. */
export class NoEnginesError extends AsyncepError {
  override name = 'NoEnginesError';
  constructor(readonly last: string) {
    super(`no engine is left; the last one: ${last}`);
  }
}

/** Whatever engine ran the request was lost, again and again: it may be what ends them. */
export class GivenUpError extends AsyncepError {
  override name = 'GivenUpError';
  constructor(readonly attempts: number, readonly last: string) {
    super(`the engine was lost in each of ${attempts} attempts to answer; the last time: ${last}`);
  }
}
