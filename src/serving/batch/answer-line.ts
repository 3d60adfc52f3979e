/** From a line of the input to its line of the output. */
import { randomUUID } from 'node:crypto';
import { AsyncepError, DeviceError, RankError } from '../../errors.ts';
import { type Failure, failure, failureOf, INVALID } from '../operations/failure.ts';
import type { Operation, OperationContext } from '../operations/operation.ts';
import { parseBody } from '../operations/parse.ts';
import { CancelledError, DrainingError, NoEnginesError } from '../requests.ts';
import { answerId, type BatchAnswer, type BatchRequest, parseLine } from './format.ts';
import type { TextLine } from './text-lines.ts';

/** Finds what a line's `url` names. */
export type FindOperation = (path: string) => Operation | undefined;

/** Not the fault of a line: the engines are gone, or the run is ended. */
const endsTheRun = (error: unknown): boolean => [RankError, DeviceError, NoEnginesError, DrainingError, CancelledError].some((kind) => error instanceof kind);

/**
 * What a failed operation says of its request alone. Unlike a server, this tells what nobody foresaw: its user has no log to look into.
 * @throws the error itself when it ends the run
 */
function failedOperation(error: unknown): Failure {
  if (endsTheRun(error)) throw error;
  return error instanceof AsyncepError || !(error instanceof Error) ? failureOf(error) : failure(500, 'server_error', `unexpected error: ${error.message}`);
}

async function respond(request: BatchRequest, find: FindOperation, context: OperationContext): Promise<{ status: number; body: unknown }> {
  if (request.method !== 'POST') return failure(405, INVALID, `method: ${JSON.stringify(request.method)} is not answered; expected "POST"`, { param: 'method', code: 'method_not_allowed' });
  const operation = find(request.url);
  if (operation === undefined) return failure(404, INVALID, `url: ${JSON.stringify(request.url)} is no operation of this server`, { param: 'url', code: 'unknown_url' });
  try {
    return { status: 200, body: await operation.run(parseBody(operation.body, request.body), context) };
  } catch (error) {
    return failedOperation(error);
  }
}

/**
 * Answers a line, whatever is in it.
 * @throws what ends the run: everything that is not the fault of the line
 */
export async function answerLine({ line, text, problem }: TextLine, find: FindOperation, context: OperationContext): Promise<BatchAnswer> {
  const parsed = text === null ? { request: null, customId: null, problem } : parseLine(text);
  const of = { id: answerId(line), custom_id: parsed.customId };
  if (parsed.request === null) return { ...of, response: null, error: { code: 'invalid_line', message: `line ${line}: ${parsed.problem}`, line } };
  const { status, body } = await respond(parsed.request, find, context);
  return { ...of, response: { status_code: status, request_id: `req_${randomUUID().replaceAll('-', '')}`, body }, error: null };
}
