/** The HTTP API as a Fastify instance: routes, errors, key. It does not listen: see listener.ts. */
import Fastify, { type FastifyInstance } from 'fastify';
import * as z from 'zod';
import { parseBody } from '../operations/index.ts';
import { failure, failureOf, INVALID } from '../operations/failure.ts';
import { CancelledError } from '../requests.ts';
import { requireKey } from './auth.ts';
import { httpFailure, sendFailure } from './errors.ts';
import { takeJsonBodies } from './json-body.ts';
import { describeApi } from './openapi.ts';
import { addOperations, type Serving } from './operation-routes.ts';

/** Text for Prometheus, see metrics.ts. */
export interface Metrics {
  text(): Promise<string>;
  readonly contentType: string;
}

export interface AppOptions extends Serving {
  readonly metrics: Metrics;
  /** Most bytes of a body. */
  readonly maxBodyBytes: number;
  readonly apiKey?: string;
  /** Adds further routes, the status page say. */
  readonly extend?: (app: FastifyInstance) => void | Promise<void>;
  /** Told of errors that are the server's own. */
  readonly onError?: (error: unknown) => void;
}

/** Characters of an address that are looked at: none of ours has so many. */
const MAX_PATH = 200;

/** Methods of each path, for 405. */
type Paths = Map<string, Set<string>>;

function collectPaths(app: FastifyInstance): Paths {
  const paths: Paths = new Map();
  app.addHook('onRoute', ({ url, method }) => {
    const methods = paths.get(url) ?? new Set<string>();
    for (const one of [method].flat()) methods.add(one);
    paths.set(url, methods);
  });
  return paths;
}

function answerErrors(app: FastifyInstance, paths: Paths, onError: NonNullable<AppOptions['onError']>): void {
  app.setErrorHandler((error, request, reply) => {
    // Who leaves before the body is there has nothing to do with us, and hears nothing.
    const told = request.raw.readableAborted ? failureOf(new CancelledError()) : httpFailure(error);
    if (told.status === 500) onError(error);
    return sendFailure(reply, told);
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0]!.slice(0, MAX_PATH);
    const methods = paths.get(path);
    if (methods === undefined) return sendFailure(reply, failure(404, INVALID, `${request.method} ${path}: is no address of this server; /docs lists them`, { code: 'unknown_url' }));
    const allowed = [...methods].join(', ');
    void reply.header('allow', allowed);
    return sendFailure(reply, failure(405, INVALID, `${request.method} ${path}: expected ${allowed}`, { code: 'method_not_allowed' }));
  });
}

const modelSchema = z.object({
  id: z.string(), object: z.literal('model'), created: z.int(), owned_by: z.string(),
  max_model_len: z.int().describe('Longest prompt, tokens.'),
});
const modelsSchema = z.object({ object: z.literal('list'), data: z.array(modelSchema) });

/** What clients and orchestrators ask about the server itself. */
function addAbout(app: FastifyInstance, { service, model, metrics }: AppOptions): void {
  const card: z.infer<typeof modelSchema> = { id: model.id, object: 'model', created: model.created, owned_by: 'asyncep', max_model_len: model.maxPromptTokens };
  const state = z.object({ status: z.string() });
  app.get('/v1/models', { schema: { summary: 'The served model.', tags: ['server'], response: { 200: modelsSchema } } }, () => ({ object: 'list', data: [card] }));
  app.get('/health', { schema: { summary: 'The process lives.', tags: ['server'], response: { 200: state } } }, () => ({ status: 'ok' }));
  app.get('/ready', { schema: { summary: 'All engines can be given work and the server is not on its way down.', tags: ['server'], response: { 200: state, 503: state } } }, (_request, reply) => {
    const { draining } = service.snapshot();
    if (service.ready && !draining) return { status: 'ready' };
    return reply.code(503).send({ status: draining ? 'draining' : 'starting' });
  });
  app.get('/metrics', { schema: { summary: 'Counters for Prometheus.', tags: ['server'] } }, async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text()));
}


/**
 * Builds the API; ready for `app.inject` and {@link Listener.serve}. Answers are written by `JSON.stringify` alone: their schemas describe them, tests hold
 * them to it, and no request pays for it.
 */
export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const { maxBodyBytes: bodyLimit, apiKey, extend, onError = () => {} } = options;
  const app = Fastify({
    bodyLimit, logger: false, exposeHeadRoutes: true, routerOptions: { maxParamLength: MAX_PATH },
    frameworkErrors: (error, _request, reply) => void sendFailure(reply, httpFailure(error)),
  });
  const paths = collectPaths(app);
  app.setValidatorCompiler<z.ZodType>(({ schema }) => (body) => {
    try {
      return { value: parseBody(schema, body) };
    } catch (error) {
      return { error: error as Error };
    }
  });
  app.setSerializerCompiler(() => JSON.stringify);
  takeJsonBodies(app);
  answerErrors(app, paths, onError);
  if (apiKey !== undefined) requireKey(app, apiKey);
  await describeApi(app, apiKey !== undefined);
  addAbout(app, options);
  addOperations(app, options);
  await extend?.(app);
  await app.ready();
  return app;
}
