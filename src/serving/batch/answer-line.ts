/** From a line of the input to its line of the output. */
import { randomUUID } from 'node:crypto';
import { InputError } from '../../errors.ts';
import type { Operation, OperationContext } from '../operations/operation.ts';
import { GivenUpError } from '../requests.ts';
import { answerId, type BatchAnswer, type BatchRequest, parseLine } from './format.ts';
import type { TextLine } from './text-lines.ts';

interface Response {
  readonly status: number;
  readonly body: unknown;
}

/** The body that the HTTP server gives for an error, in OpenAI's shape. */
const failure = (status: number, message: string, param: string | null = null, code: string | null = null): Response => ({
  status, body: { error: { message, type: status < 500 ? 'invalid_request_error' : 'server_error', param, code } },
});

/**
 * What a failed operation says of its request alone.
 * @throws the error itself when it is none of the request: the engines are gone, or the run is ended
 */
function failureOf(error: unknown): Response {
  if (error instanceof InputError) return failure(400, error.message, error.field === '' ? null : error.field);
  if (error instanceof GivenUpError) return failure(500, error.message);
  throw error;
}

async function respond(request: BatchRequest, operations: readonly Operation[], context: OperationContext): Promise<Response> {
  if (request.method !== 'POST') return failure(405, `method: "${request.method}" is not answered; expected "POST"`, 'method');
  const operation = operations.find(({ path }) => path === request.url);
  if (operation === undefined) {
    return failure(404, `url: "${request.url}" is not answered; expected ${operations.map(({ path }) => path).join(', ')}`, 'url');
  }
  const { success, data, error } = operation.body.safeParse(request.body);
  if (!success) {
    const [issue] = error.issues;
    const field = issue?.path.map(String).join('.') ?? '';
    return failure(400, `${field === '' ? 'body' : field}: ${issue?.message ?? 'is not what the operation expects'}`, field === '' ? null : field);
  }
  try {
    return { status: 200, body: await operation.run(data, context) };
  } catch (error) {
    return failureOf(error);
  }
}

/**
 * Answers a line, whatever is in it.
 * @throws what ends the run: everything that is not the fault of the line
 */
export async function answerLine({ line, text, problem }: TextLine, operations: readonly Operation[], context: OperationContext): Promise<BatchAnswer> {
  const parsed = text === null ? { request: null, customId: null, problem } : parseLine(text);
  const of = { id: answerId(line), custom_id: parsed.customId };
  if (parsed.request === null) return { ...of, response: null, error: { code: 'invalid_line', message: `line ${line}: ${parsed.problem}`, line } };
  const { status, body } = await respond(parsed.request, operations, context);
  return { ...of, response: { status_code: status, request_id: `req_${randomUUID().replaceAll('-', '')}`, body }, error: null };
}
