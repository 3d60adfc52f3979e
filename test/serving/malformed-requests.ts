/** Requests that are wrong in all ways, and some that are right after all. */
import { hashWords } from '../../src/sim/random.ts';
import { EXAMPLES } from './http-examples.ts';

let seed = 20_261_122;
let drawn = 0;
/** From 0 to 1; the same ones in every run. */
const random = (): number => hashWords(seed, drawn++) / 2 ** 32;

/** Other draws from now on. */
export function reseed(to: number): void {
  [seed, drawn] = [to, 0];
}

const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
const chance = (share: number): boolean => random() < share;

const ODD_TEXTS = ['', ' ', '\u0000', '\uFFFD', '\uD800', '😀'.repeat(50), 'x'.repeat(20_000), '{{ text }}', '{% for i in text %}', '{{ text | upper }}'.repeat(30), '{{'.repeat(200), '\n', 'yes', 'A', '<|endoftext|>', '../../etc/passwd', '"', 'null'];
const ODD_NUMBERS = [0, -0, -1, 1, 0.5, 1e308, -1e308, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 53 + 2, 1e-320, 4095, 4096, 20, 21];

/** Any JSON value. */
function anything(depth = 0): unknown {
  const kind = Math.floor(random() * (depth > 3 ? 5 : 7));
  switch (kind) {
    case 0: return pick([null, true, false]);
    case 1: case 2: return pick(ODD_NUMBERS);
    case 3: case 4: return pick(ODD_TEXTS);
    case 5: return Array.from({ length: Math.floor(random() * 5) }, () => anything(depth + 1));
    default: return Object.fromEntries(Array.from({ length: Math.floor(random() * 4) }, () => [pick(['__proto__', 'constructor', 'text', 'kind', 'toString', 'x']), anything(depth + 1)]));
  }
}

/** A value that the schema (of the API's own description) takes, or nearly. */
function valueOf(schema: any, depth = 0): unknown {
  if (schema.anyOf ?? schema.oneOf) return valueOf(pick(schema.anyOf ?? schema.oneOf), depth);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return pick(schema.enum);
  switch (schema.type) {
    case 'object': return Object.fromEntries(Object.entries(schema.properties ?? {}).filter(([name]) => schema.required?.includes(name) || chance(0.3)).map(([name, of]) => [name, valueOf(of, depth + 1)]));
    case 'array': return Array.from({ length: (schema.minItems ?? 0) + Math.floor(random() * 3) }, () => valueOf(schema.items, depth + 1));
    case 'string': return chance(0.7) ? pick(['hello', 'yes', 'no', 'spam', 'ham', 'Is it?', '{{ text }} {{ query }} {{ candidate }}']) : pick(ODD_TEXTS);
    case 'integer': return chance(0.7) ? Math.floor(random() * 3) : pick(ODD_NUMBERS);
    case 'number': return chance(0.7) ? pick([0, 0.5, 1]) : pick(ODD_NUMBERS);
    case 'boolean': return chance(0.5);
    default: return null;
  }
}

/** The value with something in it replaced, removed or added. */
function mutated(value: unknown): unknown {
  if (chance(0.15) || typeof value !== 'object' || value === null) return anything();
  if (Array.isArray(value)) return chance(0.2) ? [...value, anything()] : value.map((element) => (chance(0.4) ? mutated(element) : element));
  const entries = Object.entries(value);
  const at = Math.floor(random() * entries.length);
  if (chance(0.2)) return Object.fromEntries(entries.filter((_, i) => i !== at));
  if (chance(0.15)) return { ...value, [pick(['__proto__', 'extra', 'model', 'kind'])]: anything() };
  return Object.fromEntries(entries.map(([name, of], i) => [name, i === at ? mutated(of) : of]));
}

const nested = (depth: number): string => pick(['[', '{"a":']).repeat(depth);

/** Text or bytes of a body. */
function bodyOf(schema: unknown): string | Buffer {
  const draw = random();
  const valid = JSON.stringify(chance(0.5) ? valueOf(schema) : pick(EXAMPLES).body);
  if (draw < 0.25) return valid;
  if (draw < 0.8) return JSON.stringify(mutated(JSON.parse(valid))) ?? '';
  if (draw < 0.85) return valid.slice(0, Math.floor(random() * valid.length));
  if (draw < 0.88) return pick([nested(5000), `${'['.repeat(3000)}${']'.repeat(3000)}`, `{"prompt":${'['.repeat(3000)}1${']'.repeat(3000)}}`, `{"input":${'{"text":'.repeat(3000)}1${'}'.repeat(3000)}}`]);
  if (draw < 0.92) return valid.replace(/\d+/, pick(['1e999', '-1e999', '99999999999999999999999999', '0x10', '01', 'NaN', '-', '1.', 'Infinity']));
  if (draw < 0.96) {
    const bytes = Buffer.from(valid);
    for (let n = 0; n < 3; n++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    return bytes;
  }
  return pick(['', ' ', '{}', '[]', 'null', '{"prompt":', '\uFEFF{}', '{"a":1}{"b":2}', 'prompt=hello', valid.repeat(2), `{"prompt":"${'x'.repeat(100_000)}"}`]);
}

const TYPES = ['application/json', 'application/json; charset=utf-8', 'application/json; charset=latin1', 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/jsonx', '*/*', '', 'a;b=c', 'application/json/'];
const METHODS = ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'POST'] as const;

export interface DrawnRequest {
  readonly method: (typeof METHODS)[number];
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: string | Buffer;
}

/** @param paths of the API's own description @returns draws one */
export function malformedRequests(paths: Readonly<Record<string, any>>): () => DrawnRequest {
  const posts = Object.entries<any>(paths).filter(([, of]) => of.post).map(([path, of]) => [path, of.post.requestBody.content['application/json'].schema] as const);
  const addresses = [...Object.keys(paths), '/', '//', '/v1', '/v1/completions/', '/v1/%00', '/docs/../v1/models', '/%', '/v1/models?a[__proto__]=1', `/${'x'.repeat(5000)}`, '/docs/static/../../package.json', '/docs/static/%2e%2e%2fpackage.json'];
  return () => {
    const [path, schema] = pick(posts);
    const strange = chance(0.08);
    return {
      method: strange ? pick(METHODS) : 'POST', url: strange ? pick(addresses) : path,
      headers: { 'content-type': chance(0.06) ? pick(TYPES) : 'application/json', ...(chance(0.02) && { authorization: pick(ODD_TEXTS.slice(5, 9)).replaceAll(/[^\x20-\x7e]/g, 'x') }) },
      payload: bodyOf(schema),
    };
  };
}

/** What is wrong with the answer to one of them; null: nothing. */
export function wrongAnswer({ method }: DrawnRequest, status: number, contentType: string, body: string): string | null {
  if (status >= 500) return `${status} ${body}`;
  if (status < 400 || method === 'HEAD' || !contentType.includes('json')) return null;
  const { error } = JSON.parse(body);
  return typeof error?.message !== 'string' || error.message.length > 1100 ? `no error in the shape of all: ${body.slice(0, 500)}` : null;
}

/** Bytes of a right request, or nearly: some are others, the end may be missing. */
export function nearlyHttp(): Buffer {
  const bytes = Buffer.from('POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 14\r\nconnection: close\r\n\r\n{"prompt":"a"}');
  for (let flips = Math.floor(random() * 6); flips > 0; flips--) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
  return chance(0.2) ? bytes.subarray(0, Math.floor(random() * bytes.length)) : bytes;
}
