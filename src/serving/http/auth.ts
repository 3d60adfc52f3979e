/** An optional key that all requests must bring, but those that ask whether the server lives. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { failure, INVALID } from '../operations/failure.ts';
import { sendFailure } from './errors.ts';

/** What orchestrators poll without a key, and the status page, which asks for the key by itself. */
const FREE_PATHS = new Set(['/', '/health', '/ready']);

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** The key of `Authorization: Bearer KEY`, or the password of `Basic`, which is what browsers can be asked for. */
export function givenKey(authorization: string | undefined): string | null {
  const [, scheme = '', value = ''] = /^(bearer|basic) +(\S+) *$/i.exec(authorization ?? '') ?? [];
  if (scheme.toLowerCase() === 'bearer') return value;
  if (scheme.toLowerCase() !== 'basic') return null;
  const pair = Buffer.from(value, 'base64').toString('utf8');
  return pair.includes(':') ? pair.slice(pair.indexOf(':') + 1) : null;
}

const pathOf = ({ url }: FastifyRequest): string => url.split('?', 1)[0]!;

/** Refuses requests without the key, before their body is read. Keys are compared by digest, in constant time. */
export function requireKey(app: FastifyInstance, key: string): void {
  const expected = digest(key);
  app.addHook('onRequest', (request, reply, next) => {
    const given = givenKey(request.headers.authorization);
    if (FREE_PATHS.has(pathOf(request)) || (given !== null && timingSafeEqual(digest(given), expected))) return next();
    // A browser that opens a page asks its user for the key; programs and scripts of pages are not asked.
    const opens = request.method === 'GET' && request.headers.accept?.includes('text/html') === true;
    void reply.header('www-authenticate', opens ? 'Bearer, Basic realm="asyncep: any name, the key as password"' : 'Bearer');
    const problem = given === null ? 'is missing; expected "Authorization: Bearer KEY"' : 'is not the key of this server';
    sendFailure(reply, failure(401, INVALID, `authorization: ${problem}`, { code: 'invalid_api_key' }));
  });
}
