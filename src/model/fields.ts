/** Checked fields of JSON files: a zod schema whose messages say what was expected and what was found. */
import * as z from 'zod';
import { InputError } from '../errors.ts';
import { show } from './files.ts';

/** A field that must pass `test`; messages read "expected {expected}, got {value}". */
export const field = <T>(expected: string, test: (value: unknown) => boolean): z.ZodType<T> =>
  z.custom<T>(test, { error: (issue) => `expected ${expected}, got ${show(issue.input)}` });

export const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);

/** Checks `value` and turns the first thing wrong into an InputError that names `source` and the field. */
export function parseWith<T>(schema: z.ZodType<T>, value: unknown, source: string, prefix = ''): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const unknownKey = issue.code === 'unrecognized_keys' ? [issue.keys[0] as string] : [];
  const name = [...(prefix === '' ? [] : [prefix]), ...issue.path.map(String), ...unknownKey].join('.');
  throw new InputError(source, name, problemOf(issue, value));
}

function problemOf(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code === 'unrecognized_keys') return 'is not known, and might change the result';
  if (issue.code === 'invalid_type' && issue.path.length === 0) return `expected a JSON ${issue.expected}, got ${show(value)}`;
  return issue.message;
}
