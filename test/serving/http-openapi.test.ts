import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { FastifyInstance } from 'fastify';
import { describe, expect, it } from 'vitest';
import { registerStatusPage } from '../../src/serving/http/status-page.ts';
import { OPERATIONS } from '../../src/serving/operations/index.ts';
import { EXAMPLES } from './http-examples.ts';
import { fakeApp } from './http-fakes.ts';
import { fakeService, servedModel } from './operations-fakes.ts';

const withStatusPage = (app: FastifyInstance): void => registerStatusPage(app, fakeService(), servedModel());
const { app } = await fakeApp();
const document = (await app.inject('/openapi.json')).json();
const schemaOf = (path: string, answer = false): object => {
  const { requestBody, responses } = document.paths[path].post;
  return (answer ? responses[200] : requestBody).content['application/json'].schema;
};

describe('/openapi.json', () => {
  it.each([['as it is', {}], ['with a key', { apiKey: 'x' }], ['with the status page', { extend: withStatusPage }]])('is an OpenAPI 3.1 document by the specification\'s own schema, %s', async (_, options) => {
    const { app } = await fakeApp(options);
    const described = (await app.inject({ url: '/openapi.json', headers: { authorization: 'Bearer x' } })).json();
    const { valid, errors } = await new Validator().validate(described);
    expect(errors).toBeUndefined();
    expect([valid, described.openapi]).toEqual([true, '3.1.0']);
  });

  it('has a JSON Schema for every body and answer that a strict compiler takes', () => {
    const ajv = new Ajv2020({ strict: true, allowUnionTypes: true });
    for (const { path } of OPERATIONS) {
      expect(() => ajv.compile(schemaOf(path))).not.toThrow();
      expect(() => ajv.compile(schemaOf(path, true))).not.toThrow();
    }
  });

  it.each(EXAMPLES)('describes $path: $what, and its answer', async ({ path, body }) => {
    const ajv = new Ajv2020({ strict: false });
    expect(ajv.validate(schemaOf(path), body)).toBe(true);
    const answer = await app.inject({ method: 'POST', url: path, headers: { 'content-type': 'application/json' }, payload: JSON.stringify(body) });
    expect(answer.statusCode).toBe(200);
    ajv.validate(schemaOf(path, true), answer.json());
    expect(ajv.errors).toBeNull();
  });

  it('says what each operation and each field of ours is', () => {
    for (const { path, summary, name } of OPERATIONS) expect(document.paths[path].post).toMatchObject({ summary, operationId: name });
    expect(JSON.stringify(schemaOf('/v1/decisions')).match(/"description"/g)!.length).toBeGreaterThan(15);
  });
});
