/** Errors as clients see them: in OpenAI's shape, with the status that its client libraries make typed errors of. */
import { AsyncepError, InputError } from '../../errors.ts';
import { CancelledError, DrainingError, NoEnginesError, OverloadedError } from '../requests.ts';
import { UnknownModelError } from './asking.ts';

/** What is told about an error. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    /** The field that is wrong. */
    readonly param: string | null;
    readonly code: string | null;
  };
}

export interface Failure {
  /** HTTP status. */
  readonly status: number;
  /** Seconds, where trying again may help. */
  readonly retryAfter?: number;
  readonly body: ErrorBody;
}

/** A request took longer than it may. */
export class TimeoutError extends AsyncepError {
  override name = 'TimeoutError';
  constructor(seconds: number) {
    super(`the request was not answered within ${seconds} s; it was withdrawn`);
  }
}

/** Seconds until another instance, or this one again, may be there. */
const RETRY_SECONDS = 5;

/** Messages quote what was sent; nobody reads more of it. */
const MAX_MESSAGE_CHARACTERS = 1000;
const brief = (text: string): string => (text.length <= MAX_MESSAGE_CHARACTERS ? text : `${text.slice(0, MAX_MESSAGE_CHARACTERS)}...`);

/** @param retryAfter seconds */
export function failure(status: number, type: string, message: string, { param = null, code = null, retryAfter }: {
  param?: string | null; code?: string | null; retryAfter?: number;
} = {}): Failure {
  return { status, ...(retryAfter !== undefined && { retryAfter }), body: { error: { message: brief(message), type, param, code } } };
}

export const INVALID = 'invalid_request_error';

/** The status and body of an error that an operation threw. What nobody foresaw is told without its message: it may hold anything. */
export function failureOf(error: unknown): Failure {
  if (error instanceof UnknownModelError) return failure(404, INVALID, error.message, { param: 'model', code: 'model_not_found' });
  if (error instanceof InputError) return failure(400, INVALID, error.message, { param: error.source === 'body' ? null : error.source });
  if (error instanceof OverloadedError) return failure(429, 'overloaded_error', error.message, { code: 'queue_full', retryAfter: Math.max(1, Math.ceil(error.retryAfterSeconds)) });
  if (error instanceof DrainingError) return failure(503, 'service_unavailable_error', error.message, { code: 'draining', retryAfter: RETRY_SECONDS });
  if (error instanceof NoEnginesError) return failure(503, 'service_unavailable_error', error.message, { code: 'no_engines' });
  if (error instanceof TimeoutError) return failure(504, 'timeout_error', error.message, { code: 'timeout' });
  if (error instanceof CancelledError) return failure(499, 'cancelled_error', error.message, { code: 'cancelled' });
  return failure(500, 'server_error', error instanceof AsyncepError ? error.message : 'the server failed in a way nobody foresaw; its log says more', {});
}
