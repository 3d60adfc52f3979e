/** Operations at their paths. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import * as z from 'zod';
import type { Service } from '../service.ts';
import { ALIASES, OPERATIONS, operationAt } from '../operations/index.ts';
import { TimeoutError } from '../operations/failure.ts';
import type { Operation, ServedModel } from '../operations/operation.ts';

/** Error bodies in the API's description. */
export const errorSchema = z.object({
  error: z.object({ message: z.string(), type: z.string(), param: z.string().nullable(), code: z.string().nullable() }),
});

export interface Serving {
  readonly service: Service;
  readonly model: ServedModel;
  /** Milliseconds after which a request is withdrawn; 0: never. */
  readonly timeoutMs: number;
}

/** Runs `use` with a signal that is aborted when the client leaves or the time is up. */
async function withSignal<T>(reply: FastifyReply, timeoutMs: number, use: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let late = false;
  const timer = timeoutMs === 0 ? undefined : setTimeout(() => {
    late = true;
    controller.abort();
  }, timeoutMs);
  const leave = (): void => {
    if (!reply.raw.writableEnded) controller.abort();
  };
  reply.raw.once('close', leave);
  if (reply.raw.destroyed) leave(); // gone before we listened
  try {
    return await use(controller.signal);
  } catch (error) {
    throw late ? new TimeoutError(timeoutMs / 1000) : error;
  } finally {
    clearTimeout(timer);
    reply.raw.off('close', leave);
  }
}

/** Adds a route for each operation and alias; aliases are not described. */
export function addOperations(app: FastifyInstance, { service, model, timeoutMs }: Serving): void {
  const handler = (operation: Operation) => (request: FastifyRequest, reply: FastifyReply): Promise<unknown> =>
    withSignal(reply, timeoutMs, (signal) => operation.run(request.body, { service, model, signal }));
  for (const operation of OPERATIONS) {
    const { path, name, summary, body, response } = operation;
    app.post(path, {
      schema: {
        summary, operationId: name, tags: ['operations'], body,
        response: { 200: response, 400: errorSchema, 401: errorSchema, 404: errorSchema, 413: errorSchema, 415: errorSchema, 429: errorSchema, 500: errorSchema, 503: errorSchema, 504: errorSchema },
      },
    }, handler(operation));
  }
  for (const alias of Object.keys(ALIASES)) {
    const operation = operationAt(alias)!;
    app.post(alias, { schema: { hide: true, body: operation.body } }, handler(operation));
  }
}
