import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { OPERATIONS } from '../../src/serving/operations/index.ts';
import { EXAMPLES } from './http-examples.ts';
import { fakeApp } from './http-fakes.ts';

const { app } = await fakeApp();
const document = (await app.inject('/openapi.json')).json();
const schemaOf = (path: string, answer = false): object => {
  const { requestBody, responses } = document.paths[path].post;
  return (answer ? responses[200] : requestBody).content['application/json'].schema;
};

describe('/openapi.json', () => {
  it('is an OpenAPI 3.1 document by the specification\'s own schema', async () => {
    const { valid, errors } = await new Validator().validate(document);
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
    expect(document.openapi).toBe('3.1.0');
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
