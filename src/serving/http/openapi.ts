/** The description of the API, made from the operations' schemas: `/openapi.json`, and `/docs` to read and try it. */
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { jsonSchemaTransform } from 'fastify-type-provider-zod';

const DESCRIPTION = `Prefill-only serving of mixture-of-experts models: every answer is read from one forward pass over the prompt.

Errors have OpenAI's shape: \`{ "error": { "message", "type", "param", "code" } }\`. 429 and 503 come with \`Retry-After\`.`;

/** Registers both; before the routes that are to be described. */
export async function describeApi(app: FastifyInstance, withKey: boolean): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'asyncep', version: '1', description: DESCRIPTION },
      ...(withKey && { components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } }, security: [{ key: [] }] }),
    },
    transform: jsonSchemaTransform,
  });
  await app.register(swaggerUi, { routePrefix: '/docs', logLevel: 'silent' });
  let text: string | undefined;
  app.get('/openapi.json', { schema: { hide: true } }, (_request, reply) => {
    text ??= JSON.stringify(app.swagger());
    return reply.type('application/json; charset=utf-8').send(text);
  });
}
