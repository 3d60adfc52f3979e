/** Bodies are JSON in UTF-8, or refused: bytes that are none would silently become other text. */
import { isUtf8 } from 'node:buffer';
import type { FastifyInstance } from 'fastify';
import { InputError } from '../../errors.ts';

/** @throws InputError */
function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) throw new InputError('body', '', 'is empty; expected a JSON object');
  if (!isUtf8(bytes)) throw new InputError('body', '', 'is not UTF-8');
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch (error) {
    throw new InputError('body', '', `is not JSON: ${(error as Error).message}`);
  }
}

/**
 * Makes JSON the only content type of bodies. `JSON.parse` is used as it is: keys such as `__proto__` become plain own properties, and the schemas of
 * bodies copy only the keys that they know.
 */
export function takeJsonBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, bytes, done) => {
    try {
      done(null, parseJson(bytes as Buffer));
    } catch (error) {
      done(error as Error);
    }
  });
}
