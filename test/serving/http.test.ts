import type { InjectOptions } from 'fastify';
import { describe, expect, it } from 'vitest';
import { GivenUpError, OverloadedError, DrainingError } from '../../src/serving/requests.ts';
import { InputError } from '../../src/errors.ts';
import { fakeApp } from './http-fakes.ts';
import { servedModel } from './operations-fakes.ts';

const json = { 'content-type': 'application/json' };
const classify = (payload: unknown, more: object = {}): InjectOptions => ({
  method: 'POST', url: '/v1/classify', headers: json, payload: typeof payload === 'string' ? payload : JSON.stringify(payload), ...more,
});

/** Status and what is told, in a line. */
async function told(app: Awaited<ReturnType<typeof fakeApp>>['app'], request: InjectOptions): Promise<string> {
  const { statusCode, body } = await app.inject(request);
  const { error } = JSON.parse(body) as { error: { message: string; type: string; param: string | null; code: string | null } };
  return `${statusCode} ${error.type} ${error.param ?? '-'} ${error.code ?? '-'}: ${error.message}`;
}

describe('the API', () => {
  it('tells about itself: health, readiness, model, metrics', async () => {
    const { app, service } = await fakeApp();
    expect((await app.inject('/health')).json()).toEqual({ status: 'ok' });
    expect((await app.inject('/ready')).json()).toEqual({ status: 'ready' });
    expect((await app.inject('/v1/models')).json()).toEqual({
      object: 'list', data: [{ id: 'spam-mail', object: 'model', created: 1_700_000_000, owned_by: 'asyncep', max_model_len: 2048 }],
    });
    const metrics = await app.inject('/metrics');
    expect(metrics.body).toBe('asyncep_requests_total 3\n');
    expect(metrics.headers['content-type']).toBe('text/plain; version=0.0.4');
    service.ready = false;
    const starting = await app.inject('/ready');
    expect([starting.statusCode, starting.json()]).toEqual([503, { status: 'starting' }]);
    await service.drain();
    service.ready = true;
    const draining = await app.inject('/ready');
    expect([draining.statusCode, draining.json()]).toEqual([503, { status: 'draining' }]);
    expect((await app.inject('/health')).statusCode).toBe(200);
  });

  it('serves documentation and its description', async () => {
    const { app } = await fakeApp();
    expect((await app.inject('/docs')).body).toContain('swagger');
    expect(Object.keys((await app.inject('/openapi.json')).json().paths).sort()).toEqual([
      '/generative_scoring', '/health', '/metrics', '/ready', '/v1/classify', '/v1/completions', '/v1/decisions', '/v1/models', '/v1/rerank', '/v1/score',
    ]);
  });

  it('answers operations at their paths and aliases', async () => {
    const { app } = await fakeApp();
    const payload = { input: 'buy now' };
    const answer = (await app.inject(classify(payload))).json();
    expect(answer.data[0]).toMatchObject({ index: 0, num_classes: 2 });
    expect((await app.inject({ ...classify(payload), url: '/classify' })).json().data).toEqual(answer.data);
  });
});

describe('what is refused', () => {
  it('is told in one shape, with the field', async () => {
    const { app } = await fakeApp();
    const cases: InjectOptions[] = [
      classify('{"input": '), classify(''), classify('[]'), classify('null'), classify('"text"'), classify({}), classify({ input: 5 }), classify({ input: ['a', 5] }),
      classify({ input: 'a', labels: ['spam', 'unlikelyword'] }), classify({ input: 'a', model: 'gpt-5' }), classify({ input: 'a', template: '{{ nothing }}' }),
      classify({ input: 'a' }, { headers: { 'content-type': 'text/plain' } }), classify({ input: 'a' }, { headers: { 'content-type': 'application/x-www-form-urlencoded' } }),
      classify('x'.repeat(2 << 20)), { method: 'GET', url: '/v1/classify' }, { method: 'DELETE', url: '/v1/models' }, { method: 'GET', url: '/nothing?x=1' },
      { method: 'GET', url: '/%E0%A4%A' },
    ];
    const texts: string[] = [];
    for (const request of cases) texts.push(await told(app, request));
    expect(texts.join('\n')).toMatchInlineSnapshot(`
      "400 invalid_request_error - -: body: is not JSON: Unexpected end of JSON input
      400 invalid_request_error - -: body: is empty; expected a JSON object
      400 invalid_request_error - -: body: expected an object, got an empty list
      400 invalid_request_error - -: body: expected an object, got null
      400 invalid_request_error - -: body: expected an object, got "text"
      400 invalid_request_error input -: input: expected a text or a list of texts, got nothing
      400 invalid_request_error input -: input: expected a text or a list of texts, got 5
      400 invalid_request_error input -: input: [1]: expected a text, got 5
      400 invalid_request_error labels -: labels: unlikelyword: has 5 tokens (" un", "li", "k", "ely", "word"); expected a label of one token
      404 invalid_request_error model model_not_found: model: "gpt-5" is not served here; expected "spam-mail", or no model
      400 invalid_request_error template -: template: text: is not used; expected {{ text }} in a classify template
      415 invalid_request_error - unsupported_media_type: content-type: expected application/json
      415 invalid_request_error - unsupported_media_type: content-type: expected application/json
      413 invalid_request_error - body_too_large: body: is larger than this server takes (--max-body)
      405 invalid_request_error - method_not_allowed: GET /v1/classify: expected POST
      405 invalid_request_error - method_not_allowed: DELETE /v1/models: expected GET, HEAD
      404 invalid_request_error - unknown_url: GET /nothing: is no address of this server; /docs lists them
      400 invalid_request_error - -: '/%E0%A4%A' is not a valid url component"
    `);
  });

  it('may be text that is no UTF-8: it would be answered as if it were other text', async () => {
    const { app } = await fakeApp();
    const payload = Buffer.concat([Buffer.from('{"input":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]);
    expect(await told(app, { method: 'POST', url: '/v1/classify', headers: json, payload })).toBe('400 invalid_request_error - -: body: is not UTF-8');
  });

  it('names the methods that a path knows', async () => {
    const { app } = await fakeApp();
    expect((await app.inject('/v1/classify')).headers.allow).toBe('POST');
    expect((await app.inject({ method: 'POST', url: '/health', headers: json, payload: '{}' })).headers.allow).toBe('GET, HEAD');
  });

  it('tells when to come back from a full queue or a server on its way down', async () => {
    const { app, service } = await fakeApp();
    service.refusing = () => new OverloadedError(64, 2.4);
    const full = await app.inject(classify({ input: 'a' }));
    expect([full.statusCode, full.headers['retry-after'], full.json().error.code]).toEqual([429, '3', 'queue_full']);
    service.refusing = () => new DrainingError();
    const down = await app.inject(classify({ input: 'a' }));
    expect([down.statusCode, down.headers['retry-after'], down.json().error.code]).toEqual([503, '5', 'draining']);
  });

  it('is the client\'s fault only where it is: lost engines and surprises are the server\'s', async () => {
    const seen: unknown[] = [];
    const { app, service } = await fakeApp({ onError: (error) => seen.push(error) });
    service.refusing = () => new GivenUpError(3, 'rank 1: ended');
    expect(await told(app, classify({ input: 'a' }))).toBe('500 server_error - -: the engine was lost in each of 3 attempts to answer; the last time: rank 1: ended');
    service.refusing = () => new TypeError('secret of /etc');
    expect(await told(app, classify({ input: 'a' }))).toBe('500 server_error - -: the server failed in a way nobody foresaw; its log says more');
    service.refusing = () => new InputError('sequence 0', 'tokens', '5000 tokens; no engine has room');
    expect(await told(app, classify({ input: 'a' }))).toBe('400 invalid_request_error sequence 0 -: sequence 0: tokens: 5000 tokens; no engine has room');
    expect(seen).toHaveLength(2);
  });
});

describe('a key', () => {
  const withKey = (authorization: string, url = '/v1/models'): InjectOptions => ({ url, headers: { authorization } });
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

  it('is asked of everything but health and readiness', async () => {
    const { app } = await fakeApp({ apiKey: 'open sesame' });
    for (const url of ['/v1/models', '/metrics', '/docs', '/openapi.json', '/nothing']) expect((await app.inject(url)).statusCode).toBe(401);
    expect((await app.inject(classify('{}'))).statusCode).toBe(401);
    for (const url of ['/health', '/ready', '/health?x=1']) expect((await app.inject(url)).statusCode).toBe(200);
  });

  it('comes as a bearer token, or as the password that a browser asks for', async () => {
    const { app } = await fakeApp({ apiKey: 'sesame:1' });
    for (const given of ['Bearer sesame:1', 'bearer  sesame:1', basic('anybody:sesame:1')]) expect((await app.inject(withKey(given))).statusCode).toBe(200);
    for (const given of ['Bearer sesame', 'Bearer sesame:12', 'Bearer ', 'sesame:1', basic('sesame:1'), basic('x'), 'Digest sesame:1']) expect((await app.inject(withKey(given))).statusCode).toBe(401);
    expect(await told(app, { url: '/v1/models' })).toBe('401 invalid_request_error - invalid_api_key: authorization: is missing; expected "Authorization: Bearer KEY"');
    expect(await told(app, withKey('Bearer no'))).toBe('401 invalid_request_error - invalid_api_key: authorization: is not the key of this server');
  });

  it('is asked for by browsers that open a page, and by nobody else', async () => {
    const { app } = await fakeApp({ apiKey: 'x' });
    const challenge = async (request: InjectOptions): Promise<unknown> => (await app.inject(request)).headers['www-authenticate'];
    expect(await challenge({ url: '/docs', headers: { accept: 'text/html,*/*' } })).toBe('Bearer, Basic realm="asyncep: any name, the key as password"');
    expect(await challenge({ url: '/v1/models' })).toBe('Bearer');
    expect(await challenge({ ...classify('{}'), headers: { accept: 'text/html' } })).toBe('Bearer');
  });

  it('is not asked where none was set', async () => {
    const { app } = await fakeApp({ model: servedModel() });
    expect((await app.inject('/v1/models')).statusCode).toBe(200);
  });
});
