/** From what a client sent to what an operation takes, or to an error that names the field. */
import type * as z from 'zod';
import { InputError } from '../../errors.ts';
import { show } from './fields.ts';

type Issue = z.core.$ZodRawIssue;

/** What was expected instead, for the checks that the bodies use. */
function problem(issue: Issue): string | undefined {
  switch (issue.code) {
    case 'invalid_type': return `expected ${typeName(issue.expected)}, got ${show(issue.input)}`;
    case 'invalid_value': return `expected ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}, got ${show(issue.input)}`;
    case 'too_small': return `expected ${amount(issue.minimum, issue.inclusive, 'at least', 'more than', issue.origin)}, got ${measure(issue.input)}`;
    case 'too_big': return `expected ${amount(issue.maximum, issue.inclusive, 'at most', 'less than', issue.origin)}, got ${measure(issue.input)}`;
    default: return undefined;
  }
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'a text', number: 'a number', int: 'a whole number', boolean: 'true or false', object: 'an object', array: 'a list', null: 'null',
};
const typeName = (type: string): string => TYPE_NAMES[type] ?? type;
const amount = (bound: number | bigint, inclusive: boolean | undefined, within: string, beyond: string, origin: string): string =>
  `${inclusive === false ? beyond : within} ${bound}${origin === 'string' ? ' characters' : ''}`;
const measure = (input: unknown): string => (typeof input === 'string' ? `${input.length} characters` : show(input));

/** Of a union's branches, the one that was meant: it misses the fewest fields. */
function meant(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue;
  const missing = (issues: readonly z.core.$ZodIssue[]): number => issues.filter(({ input }) => input === undefined).length;
  const [best] = [...issue.errors].sort((a, b) => missing(a) - missing(b));
  const inner = best?.[0];
  return inner === undefined ? issue : meant({ ...inner, path: [...issue.path, ...inner.path] });
}

/** `documents[3].text` */
const pathName = (path: readonly PropertyKey[]): string =>
  path.reduce<string>((name, key) => (typeof key === 'number' ? `${name}[${key}]` : name === '' ? String(key) : `${name}.${String(key)}`), '');

/**
 * Checks a body.
 * @throws InputError whose source is the field (`body` where the whole is meant)
 */
export function parseBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body, { reportInput: true, error: problem });
  if (result.success) return result.data;
  const issue = meant(result.error.issues[0]!);
  const name = pathName(issue.path);
  throw new InputError(name === '' ? 'body' : name, '', issue.message);
}
