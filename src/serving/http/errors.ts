/** Whatever goes wrong on the way of a request becomes an error in OpenAI's shape. */
import type { FastifyError, FastifyReply } from 'fastify';
import { AsyncepError } from '../../errors.ts';
import { failure, failureOf, INVALID, type Failure } from '../operations/failure.ts';

/** What Fastify itself refuses. Its messages are for the programmer of a server; these are for its users. */
function frameworkFailure({ code, statusCode = 500, message }: FastifyError): Failure | null {
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE': return failure(413, INVALID, 'body: is larger than this server takes (--max-body)', { code: 'body_too_large' });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
    case 'FST_ERR_CTP_EMPTY_TYPE': return failure(415, INVALID, 'content-type: expected application/json', { code: 'unsupported_media_type' });
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH': return failure(400, INVALID, 'content-length: is not the length of the body', {});
    default: return statusCode >= 400 && statusCode < 500 ? failure(statusCode, INVALID, message) : null;
  }
}

/** The answer to an error that a handler, a hook or Fastify threw. */
export const httpFailure = (error: unknown): Failure =>
  (isFrameworkError(error) ? frameworkFailure(error) : null) ?? failureOf(error);

// Fastify puts a code of its own on our errors, too.
const isFrameworkError = (error: unknown): error is FastifyError =>
  error instanceof Error && !(error instanceof AsyncepError) && typeof (error as Partial<FastifyError>).code === 'string' && (error as FastifyError).code.startsWith('FST_');

/** Sends a failure. */
export function sendFailure(reply: FastifyReply, { status, retryAfter, body }: Failure): FastifyReply {
  if (retryAfter !== undefined) void reply.header('retry-after', retryAfter);
  return reply.code(status).type('application/json; charset=utf-8').send(JSON.stringify(body));
}
